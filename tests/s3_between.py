"""What stands between a store and its object store: a way that loses answers, is busy, or says that all is well."""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from reconciler.publication.store import Access, Store, open_store
from tests.s3_server import S3Server

BUSY = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


@dataclass(slots=True, kw_only=True)
class Way:
    """How the next requests fare."""

    server: S3Server
    endpoint: str = ""
    careless: bool = False
    """Whether a condition that is not met is answered as if all were well."""
    lost: int = 0
    """Writes that are made, and whose answers do not arrive."""
    busy: int = 0
    """Requests that are answered by 503 instead."""
    asked: int = 0
    turn: threading.Lock = field(default_factory=threading.Lock)

    def open(self, url: str) -> Store:
        """Return a store by this way."""
        return open_store(url, Access(endpoint=self.endpoint, region="us-east-1", credentials=str(self.server.credentials())))

    def fate(self, method: str) -> str:
        """Return how a request fares, and count it."""
        with self.turn:
            self.asked += 1
            if self.busy:
                self.busy -= 1
                return "busy"
            if self.lost and method in ("PUT", "POST"):
                self.lost -= 1
                return "lost"
        return "passed"


@contextlib.contextmanager
def between(server: S3Server) -> Iterator[Way]:
    """Stand before a server while the block lasts."""
    way = Way(server=server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fate = way.fate(self.command)
            if fate == "busy":
                self._answer(503, {}, BUSY)
                return
            connection = http.client.HTTPConnection("127.0.0.1", way.server.port, timeout=30)
            connection.request(self.command, self.path, body=body or None, headers=dict(self.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            if fate == "lost":
                self.close_connection = True
                return
            kept = {
                name: value
                for name, value in answer.getheaders()
                if name.lower() not in ("content-length", "transfer-encoding", "connection")
            }
            if answer.status == HTTPStatus.PRECONDITION_FAILED and way.careless:
                self._answer(200, {"ETag": '"fine"'}, b"")
                return
            self._answer(answer.status, kept, content, length=answer.getheader("Content-Length"))

        def _answer(self, status: int, headers: dict[str, str], content: bytes, *, length: str | None = None) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(content)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass  # noqa: N815 - as http.server names them

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server names it
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        way.endpoint = f"http://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield way
        finally:
            listener.shutdown()
            thread.join()
