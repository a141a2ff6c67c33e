"""A server that means harm: real TCP, the real format, and for chosen addresses answers that no honest server gives.

It stands in front of the honest server of `tests.agent_cases`. It also holds stolen keys where a test says so: `republish` signs
whatever a thief would.
"""

import contextlib
import gzip
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Timestamp

from reconciler.publication import metadata
from reconciler.publication.times import stamp
from tests.agent_cases import Repository, Rig, Server, Tenant

Send = Callable[[bytes], None]
Trick = Callable[[Send, bytes], None]
"""Sends an answer in the place of the body that an honest server would send."""
Change = Callable[[Any], None]

DRIP_SECONDS = 0.02
OK = b"HTTP/1.1 200 OK\r\n"


class Front:
    """Stands in front of a server; `tricks` is part of an address → what it does there."""

    def __init__(self, upstream: Server) -> None:
        self.tricks: dict[str, Trick] = {}
        self.sent = 0
        front = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):  # the agent hung up, as it should
                    while path := _asked(self.rfile.readline):
                        front.answer(path, upstream.body(path), self.send)

            def send(self, data: bytes) -> None:
                self.request.sendall(data)
                front.sent += len(data)

        self._tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._tcp.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._tcp.server_address[1]}"
        threading.Thread(target=self._tcp.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def answer(self, path: str, body: bytes | None, send: Send) -> None:
        """Answer one request, by a trick if there is one for this address."""
        for part, trick in self.tricks.items():
            if part in path:
                trick(send, body or b"")
                raise ConnectionAbortedError
        status = b"404 Not Found" if body is None else b"200 OK"
        send(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body or b""), body or b""))

    def close(self) -> None:
        """Stop serving."""
        self._tcp.shutdown()
        self._tcp.server_close()


def _asked(line: Callable[[], bytes]) -> str:
    """Read one request; return its path, "" at the end."""
    first = line()
    while line().strip():
        pass
    return first.split(b" ")[1].decode() if first else ""


@contextmanager
def in_front(rig: Rig) -> Iterator[Front]:
    """Let the rig's agent ask a front in the place of its server."""
    front = Front(rig.server)
    honest, rig.server.url = rig.server.url, front.url
    try:
        yield front
    finally:
        rig.server.url = honest
        front.close()


# Answers


def endless_body(send: Send, body: bytes) -> None:
    """Send a body that has no end."""
    send(OK + b"\r\n" + body)
    while True:
        send(b" " * 65536)


def endless_chunks(send: Send, body: bytes) -> None:
    """Send chunks of one byte, without end."""
    del body
    send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        send(b"1\r\n \r\n" * 4096)


def endless_headers(send: Send, body: bytes) -> None:
    """Send a header line that has no end."""
    del body
    send(OK + b"X-Padding: ")
    while True:
        send(b"x" * 65536)


def endless_promises(send: Send, body: bytes) -> None:
    """Promise an answer, again and again."""
    del body
    while True:
        send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1024)


def endless_error(send: Send, body: bytes) -> None:
    """Send an error with a page that has no end."""
    del body
    send(b"HTTP/1.1 404 Not Found\r\n\r\n")
    while True:
        send(b"<p>sorry</p>" * 4096)


def dripped_body(send: Send, body: bytes) -> None:
    """Send the right bytes, one now and then."""
    send(OK + b"Content-Length: %d\r\n\r\n" % len(body))
    _drip(send, body)


def dripped_headers(send: Send, body: bytes) -> None:
    """Send header lines byte by byte, without end."""
    del body
    _drip(send, OK + b"X-Padding: " + b"x" * 60_000)


def silence(send: Send, body: bytes) -> None:
    """Take the request and say nothing."""
    del send, body
    time.sleep(5)


def truncated(send: Send, body: bytes) -> None:
    """Hang up half-way."""
    send(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body[: len(body) // 2])


def cut_short(send: Send, body: bytes) -> None:
    """Say that there is less than there is."""
    send(OK + b"Content-Length: %d\r\n\r\n" % (len(body) - 10) + body)


def unbelievable_length(send: Send, body: bytes) -> None:
    """State two lengths at once."""
    send(OK + b"Content-Length: 5, %d\r\n\r\n" % len(body) + body)


def oversized(send: Send, body: bytes) -> None:
    """Send more than such a file may have, honestly announced."""
    data = body + b" " * 600_000
    send(OK + b"Content-Length: %d\r\n\r\n" % len(data) + data)


def gzip_bomb(send: Send, body: bytes) -> None:
    """Send what would become ten megabytes, if anybody unpacked it."""
    packed = gzip.compress(body + b" " * 10_000_000, 1)[:10_000]
    send(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)


def redirected(send: Send, body: bytes) -> None:
    """Send the agent elsewhere."""
    del body
    send(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/elsewhere\r\nContent-Length: 0\r\n\r\n")


def not_http(send: Send, body: bytes) -> None:
    """Speak another protocol."""
    send(b"SSH-2.0-OpenSSH_9.9\r\n" + body)


def out_of_order(send: Send, body: bytes) -> None:
    """Fail."""
    del body
    send(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops")


def _drip(send: Send, data: bytes) -> None:
    for byte in data:
        send(bytes([byte]))
        time.sleep(DRIP_SECONDS)


# Signing, as a thief would


def republish(repository: Repository, *, bump: int = 1, changes: Mapping[str, Change]) -> None:
    """Sign the next version of releases, rollouts, snapshot and timestamp with the tenant's keys, each changed as asked."""
    keys, files = repository.tenant.keys, repository.tenant.files
    old, repository.version = repository.version, repository.version + bump
    meta: dict[str, MetaFile] = {}
    for role in ("releases", "rollouts"):
        document: Metadata[Any] = Metadata.from_bytes(files[_place(repository, f"{old}.{role}")])
        document.signed.version = repository.version
        changes.get(role, leave)(document.signed)
        meta[f"{role}.json"] = _put(repository, role, document.signed, getattr(keys, role))
    snapshot = Metadata[Snapshot].from_bytes(files[_place(repository, f"{old}.snapshot")]).signed
    snapshot.version = repository.version
    snapshot.meta = {"targets.json": MetaFile(len(repository.tenant.roots)), **meta}
    changes.get("snapshot", leave)(snapshot)
    file = _put(repository, "snapshot", snapshot, keys.snapshot)
    timestamp = Metadata[Timestamp].from_bytes(files[_place(repository, "timestamp")]).signed
    timestamp.version, timestamp.snapshot_meta = repository.version, file
    changes.get("timestamp", leave)(timestamp)
    files[_place(repository, "timestamp")] = metadata.sign(timestamp, [keys.timestamp])
    repository._put_trust()  # noqa: SLF001 - the server's files are this module's to write


def expired(signed: Any) -> None:
    """Let a role end yesterday."""
    signed.expires = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


def signed_in_the_future(signed: Any) -> None:
    """Claim that a timestamp was signed in many years."""
    signed.unrecognized_fields[metadata.SIGNED_AT] = stamp(datetime.now(UTC) + timedelta(days=20 * 365))


def reroot(tenant: Tenant, change: Change) -> None:
    """Sign the next root and targets with the keys as they are, the root changed as asked."""
    tenant.rotate()
    root = Metadata[Root].from_bytes(tenant.roots[-1]).signed
    change(root)
    tenant.roots[-1] = metadata.sign(root, tenant.keys.root)


def retarget(tenant: Tenant, change: Change) -> None:
    """Sign the next root and targets with the keys as they are, targets changed as asked."""
    tenant.rotate()
    targets: Any = Metadata.from_bytes(tenant.targets).signed
    change(targets)
    tenant.targets = metadata.sign(targets, [tenant.keys.targets])


def _place(repository: Repository, name: str) -> str:
    return f"{repository.prefix}/metadata/{name}.json"


def _put(repository: Repository, role: str, signed: Any, signer: Any) -> MetaFile:
    data = metadata.sign(signed, [signer])
    repository.tenant.files[_place(repository, f"{signed.version}.{role}")] = data
    return metadata.meta_file(signed.version, data)


def leave(signed: Any) -> None:
    """Change nothing."""
    del signed


def signed_anyhow(data: bytes, fields: Mapping[str, Any], signer: CryptoSigner) -> bytes:
    """Sign metadata with other values in it, whatever they are, as canonical JSON."""
    signed = {**json.loads(data)["signed"], **fields}
    signature = signer.sign((encode_canonical(signed) or "").encode())
    return json.dumps({"signatures": [signature.to_dict()], "signed": signed}).encode()
