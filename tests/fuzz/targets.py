"""What is fuzzed: each target takes any bytes and returns, whatever they are, or raises what nobody should ever see.

A target catches the one family of errors that its bytes may raise, and nothing else. Where bytes were read, it does with the
result what ordain does next. The first bytes choose between readers, so that one target covers all of a sort.
"""

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from textwrap import dedent

from agent.apply import journal
from agent.apply.recover import recover
from agent.archives.entries import ArchiveError, Form
from agent.archives.unpack import unpack
from agent.disk import Disk
from agent.host import Host
from agent.protocol import bundle, codec, membership, rendering, report, rollout
from agent.protocol.errors import MalformedError, RefusedError
from reconciler.pipeline import accepted, audit
from reconciler.pipeline.acceptance.corpus import read_content
from reconciler.pipeline.compile.compiler import CompileRefused, compile_fleet
from reconciler.pipeline.compile.references import check
from reconciler.pipeline.compile.world import build
from reconciler.pipeline.manifests import Layout, verdict
from reconciler.pipeline.tree import MemoryTree
from reconciler.publication import controls, envelope, lease
from tests.archive_cases import checksummed, packed
from tests.compile_cases import COLLECTOR, FILES, WEB

Target = Callable[[bytes], None]
SECONDS = 1.0
"""What any input of fuzzing size may take, on a machine that does nothing else; the driver allows more."""
FORMS: tuple[Form, ...] = ("tar.gz", "tar.zst", "zip")
FLEET, DIGEST = "shop/web", "ab" * 32
REPLACED = (COLLECTOR, WEB, "tenants/shop/agents.yaml", "library/base-dirs.yaml", "tenants/shop/tenant.yaml", "ordain.yaml")
"""Files of a small fleet repository, one of which the fuzzer writes anew."""


def manifest(data: bytes) -> None:
    """Put a file into a fleet repository; read, validate, cross-check and compile it all, and show what was found."""
    replaced = REPLACED[data[0] % len(REPLACED)] if data else COLLECTOR
    files = {path: dedent(text).encode() for path, text in FILES.items()} | {replaced: data[1:]}
    tree, layout = MemoryTree(files), Layout()
    read = {path: read_content(path, content, layout) for path, content in files.items()}
    found = [finding for file in read.values() for finding in file.findings]
    world = build((one for file in read.values() if not file.refused for one in file.parsed.documents), layout)
    found += check(world, tree)
    with contextlib.suppress(CompileRefused):
        if world.fleet(("shop", "web")):
            found += compile_fleet(world, tree, ("shop", "web")).warnings
    for finding in found:
        shown = verdict(finding, tree.read)
        assert shown.message
        assert shown.line > 0


WIRE: Mapping[str, Callable[[bytes], object]] = {
    "rollout": partial(rollout.decode, fleet=FLEET),
    "members": partial(membership.decode, fleet=FLEET, sequence=7),
    "shard": lambda data: membership.decode_shard(data, fleet=FLEET, digest=codec.sha256(data)),
    "bundle": lambda data: bundle.decode(data, digest=codec.sha256(data)),
    "packed-bundle": partial(bundle.unpack, digest=DIGEST),
    "receipt": partial(codec.decode, kind=report.Receipt, what="receipt"),
    "accepted": partial(codec.decode, kind=accepted.AcceptedState, what="accepted state"),
    "decision": audit.decode_record,
    "controls": partial(codec.decode, kind=controls.Controls, what="controls"),
    "lease": partial(codec.decode, kind=lease._Record, what="lease"),  # noqa: SLF001 - all that reads it needs a store
    "envelope": partial(envelope.verify, payload_type=audit.PAYLOAD_TYPE, keys=[]),
    "anything": partial(codec.decode, kind=object, what="document"),
}
"""Readers of wire documents, by the name of their schema where they have one."""


def wire(data: bytes) -> None:
    """Read bytes as one of the wire documents, the first byte says which; what is read and written is read as the same."""
    names = list(WIRE)
    name = names[data[0] % len(names)] if data else "anything"
    with contextlib.suppress(RefusedError):
        read = WIRE[name](data[1:])
        assert name in ("packed-bundle", "envelope", "bundle") or WIRE[name](codec.canonical(read)) == read


def reference(data: bytes) -> None:
    """Resolve a text with references, and finish it as a host does."""
    text = data.decode(errors="surrogatepass") if _is_text(data) else data.decode("latin-1")
    label, _, text = text.partition("\x00")
    list(rendering.near_misses(text))
    named = [(space, name) for space, name, _ in rendering.references(text)]
    values = {space: {name: label for other, name in named if other == space} for space in ("labels", "parameters")}
    with contextlib.suppress(MalformedError, KeyError):
        resolved = rendering.resolve(text, labels=values["labels"], parameters=values["parameters"])
        rendering.finish(resolved, tenant="shop", agent="web-01")


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def journaled(data: bytes) -> None:
    """Start an agent's recovery with any bytes for a journal, in a directory of its own."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        disk = Disk(root=root / "state")
        disk.journal.parent.mkdir()
        disk.journal.write_bytes(data)
        with contextlib.suppress(RefusedError):
            journal.read(disk.journal)
        with contextlib.suppress(RefusedError, OSError):
            recover(Host(root / "host"), disk)


def archive(data: bytes) -> None:
    """Unpack an archive; the first byte says how its bytes are meant, also as what is inside a compressed one."""
    chosen, data = data[:1] or b"\0", data[1:]
    form, inside = FORMS[chosen[0] % 3], chosen[0] // 3 % 3
    if form != "zip" and inside:
        data = packed(checksummed(data) if inside == 1 else data, form)
    with contextlib.suppress(ArchiveError):
        unpack(io.BytesIO(data), form, Sink(), limit=1_000_000)


class Sink:
    """Takes everything in and keeps nothing: what is fuzzed are the readers."""

    def directory(self, path: str) -> None:
        assert not path.startswith("/")

    def file(self, path: str, content: Iterable[bytes], *, executable: bool) -> None:
        assert isinstance(executable, bool)
        assert ".." not in path.split("/")
        for piece in content:
            assert isinstance(piece, bytes)

    def link(self, path: str, existing: str) -> None:
        assert ".." not in (*path.split("/"), *existing.split("/"))

    def symlink(self, path: str, target: str) -> None:
        assert not target.startswith("/")
        assert path

    def sync(self) -> None:
        """Nothing was written."""


TARGETS: Mapping[str, Target] = {
    "manifests": manifest,
    "wire": wire,
    "references": reference,
    "journal": journaled,
    "archives": archive,
}


def timed(target: Target, data: bytes, *, seconds: float) -> None:
    """Run a target once; raise `AssertionError` if it took more processor time than `seconds`."""
    began = time.process_time()
    target(data)
    took = time.process_time() - began
    assert took <= seconds, f"{took:.1f} s for {len(data)} bytes"
