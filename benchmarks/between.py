"""A proxy between agents and a server, which notes what is asked for, and how many bytes go each way."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECONDS = 60.0
"""For one answer of the server: far more than it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request: what was asked for, when it came (`time.monotonic`), and the bytes of it, of its answer, and of that answer's body."""

    path: str
    at: float
    sent: int
    received: int
    body: int


class _Counting(BaseHTTPRequestHandler):
    """Passes requests on and notes when each came and how long its answer's body was."""

    upstream = ""
    asked: list[Exchange]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Pass one request on."""
        kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.upstream + self.path, headers=kept), timeout=SECONDS) as answer:  # noqa: S310 - our own loopback address
                status, body, named = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            status, body, named = error.code, error.read(), error.headers
        sent = _head(f"GET {self.path} HTTP/1.1", self.headers.items())
        received = _head(f"HTTP/1.1 {status} {self.responses[status][0]}", named.items())
        self.asked.append(Exchange(path=self.path, at=time.monotonic(), sent=sent, received=received + len(body), body=len(body)))
        self.send_response(status)
        for name in ("ETag", "Content-Type", "Last-Modified"):
            if named.get(name):
                self.send_header(name, named[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""


def _head(first: str, fields: Iterable[tuple[str, str]]) -> int:
    """Return the bytes of a first line and of headers, with the empty line after them."""
    return len("\r\n".join([first, *(f"{name}: {value}" for name, value in fields), "", ""]))


@contextmanager
def counting(upstream: str) -> Iterator[tuple[str, list[Exchange]]]:
    """Stand between agents and a server; yield the address and the list of what is asked, which grows."""
    asked: list[Exchange] = []
    handler = type("Handler", (_Counting,), {"upstream": upstream, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
