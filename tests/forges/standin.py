"""An HTTP server that speaks for a forge.

Each request, and each answer, is held to the fragment of the forge's published description in tests/vectors/forges: what doesn't fit is
noted in `wrong`, and the fixture fails the test for it. `faults` are done once each, in order, to requests that they are about.
"""

import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from jsonschema import Draft202012Validator

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "forges"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came; names of headers in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What goes back; `body` None for none."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong once, with the next request whose `METHOD path` this pattern fits.

    `reply` is sent instead of doing it; `lost` does it and hangs up without an answer; `first` is called before it is done.
    One with none of these lets a request through, so that the next fault is about a later one.
    """

    about: str
    reply: Reply | None = None
    lost: bool = False
    first: Callable[[], object] | None = None


class Speaker(Protocol):
    """One forge: its state, and what it answers."""

    prefix: str
    """What its paths begin with."""
    description: str
    """File in tests/vectors/forges."""

    def answer(self, request: Request, address: str) -> Reply:
        """Return what this forge would answer; `address` is where it is."""
        ...


class StandIn:
    """A forge on a port of this machine."""

    def __init__(self, speaker: Speaker) -> None:
        self.speaker = speaker
        self.address = ""
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.wrong: list[str] = []
        self._lock = threading.Lock()
        described = json.loads((VECTORS / speaker.description).read_text())
        self._operations = {name: _Operation(name, one, described["$defs"]) for name, one in described["operations"].items()}

    def writes(self) -> list[str]:
        """The requests so far that were to write something, as `METHOD path`."""
        return [f"{one.method} {one.path}" for one in self.requests if one.method != "GET"]

    def serve(self, request: Request) -> Reply | None:
        """Return what is answered; None for nothing at all."""
        with self._lock:
            self.requests.append(request)
            fault = next((one for one in self.faults if re.search(one.about, f"{request.method} {request.path}")), None)
            if fault is not None:
                self.faults.remove(fault)
        if fault is not None and fault.first is not None:
            fault.first()
        with self._lock:
            reply = fault.reply if fault is not None and fault.reply is not None else self.speaker.answer(request, self.address)
            self._hold(request, reply)
        return None if fault is not None and fault.lost else reply

    def _hold(self, request: Request, reply: Reply) -> None:
        found = [one for one in self._operations.values() if one.is_it(request, self.speaker.prefix)]
        if not found:
            self.wrong.append(f"{request.method} {request.path}: no operation that is described")
        for one in found[:1]:
            self.wrong += [f"{request.method} {request.path}: {text}" for text in one.errors(request, reply)]


class _Operation:
    """One operation as it is described."""

    def __init__(self, name: str, described: Mapping[str, Any], defs: Mapping[str, Any]) -> None:
        self.method, _, path = name.partition(" ")
        self.path = re.compile("".join("[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", path)))
        self.query, self.body = self._held(described.get("query", {"maxProperties": 0}), defs), described.get("body")
        self.sent = self._held(self.body, defs) if self.body is not None else None
        self.answers = {int(status): self._held(schema, defs) for status, schema in described["answers"].items()}

    @staticmethod
    def _held(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Draft202012Validator:
        return Draft202012Validator({**schema, "$defs": defs})

    def is_it(self, request: Request, prefix: str) -> bool:
        return request.method == self.method and self.path.fullmatch(request.path.removeprefix(prefix)) is not None

    def errors(self, request: Request, reply: Reply) -> Iterator[str]:
        yield from (f"query: {error.message}" for error in self.query.iter_errors(dict(request.query)))
        if self.sent is not None and reply.status < 400:
            yield from (f"sent: {error.message}" for error in self.sent.iter_errors(request.body))
        if self.sent is None and request.body is not None:
            yield "a body that is not described"
        if reply.status not in self.answers:
            yield f"answer {reply.status} is not described"
        elif reply.body is not None or reply.status < 300:
            yield from (f"answered {reply.status}: {error.message}" for error in self.answers[reply.status].iter_errors(reply.body))


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def _do(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        request = Request(
            method=self.command,
            path=parts.path,
            query=dict(urllib.parse.parse_qsl(parts.query)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=json.loads(data) if data else None,
        )
        reply = self.stand_in.serve(request)
        if reply is None:
            self.close_connection = True
            return
        content = json.dumps(reply.body).encode() if reply.body is not None else b""
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _do  # noqa: N815 - the names in the base class

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients hang up on purpose here."""


@contextmanager
def serving(speaker: Speaker) -> Iterator[StandIn]:
    """Let a forge be asked on a port of this machine."""
    stand_in = StandIn(speaker)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"stand_in": stand_in}))
    stand_in.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def paged(items: list[Any], request: Request, address: str, *, size: str = "per_page", most: int = 100) -> tuple[list[Any], dict[str, str]]:
    """Return one page of a list, and the `Link` header that leads to the next."""
    per_page, page = min(most, int(request.query.get(size, "30"))), int(request.query.get("page", "1"))
    shown = items[(page - 1) * per_page : page * per_page]
    if page * per_page >= len(items):
        return shown, {}
    following = urllib.parse.urlencode({**request.query, "page": page + 1})
    return shown, {"Link": f'<{address}{request.path}?{following}>; rel="next", <{address}{request.path}?page=1>; rel="first"'}
