"""Where fuzzers begin: one honest input of each sort, and all that ever broke something (`tests/vectors/fuzz/<target>/`)."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from agent.apply.journal import Journal, Step
from agent.apply.saved import Saved
from agent.protocol import bundle, codec, membership, report, rollout
from reconciler.pipeline import accepted, audit
from reconciler.publication import controls
from tests.archive_cases import FORMS, member, release, tar
from tests.compile_cases import FILES
from tests.design_manifests import COLLECTOR
from tests.fuzz.targets import FLEET, REPLACED, TARGETS, WIRE

VECTORS = Path(__file__).parents[1] / "vectors"
SCHEMAS = Path(__file__).parents[2] / "schemas"
REGRESSIONS = VECTORS / "fuzz"
_AT = "2026-11-26T00:00:00Z"
_HEX = "ab" * 32
_JOURNAL = Journal(
    format=1,
    transaction="t1",
    fleet="web",
    generation=2,
    fresh=True,
    phase="switching",
    steps=[
        Step(path="/etc/a", kind="mkdir", before=Saved(kind="absent")),
        Step(path="/etc/a/b", kind="put", staged="/etc/a/.b.ordain", before=Saved(kind="absent"), inode=7),
        Step(path="/etc/c", kind="remove", kept="/etc/.c.kept"),
    ],
    adopted=["/etc/a"],
    released=["/etc/c"],
)
_RECORD = audit.DecisionRecord(
    format=1,
    sequence=1,
    previous=None,
    head="a" * 40,
    from_=None,
    at=_AT,
    tree="b" * 40,
    judge=_HEX,
    opa="1.22.2",
    ordain="0.1.0",
    commits=[audit.RecordedCommit(sha="a" * 40, author="Ana", email="ana@example.com", time=_AT)],
    verdicts=[],
    refused={"tenants/a.yaml": "no YAML"},
    waivers=[],
    releases=[audit.RecordedRelease(tenant="shop", fleet="web", digest=_HEX)],
)


def _documents() -> Mapping[str, Any]:
    member_of = membership.Member(labels={"role": "web"}, group="g1")
    named = rollout.Release(digest=_HEX, members=7)
    return {
        "rollout": rollout.RolloutDocument(
            format=1, fleet=FLEET, serial=3, epoch=1, attempt=1, stable=named, candidate=None, not_before=_AT, selectors=[{"role": "web"}]
        ),
        "members": membership.Members(format=1, fleet=FLEET, sequence=7, pools={}, agents={"web-01": member_of}),
        "shard": membership.Shard(format=1, fleet=FLEET, agents={"web-01": member_of}),
        "receipt": report.Receipt(
            format=1,
            fleet=FLEET,
            agent="web-01",
            digest=_HEX,
            members=7,
            group="g1",
            mode=None,
            attempt=1,
            serial=3,
            generation=2,
            result="applied",
            why="",
            at=_AT,
        ),
        "accepted": accepted.AcceptedState(
            format=1, sequence=1, expires=_AT, head="a" * 40, tree="b" * 40, judge=_HEX, decision=1, record=_HEX, examined_at=_AT
        ),
        "decision": _RECORD,
        "controls": controls.Controls(tenant="shop", format=1, agents={"web-01": controls.Agent()}),
        "lease": {"epoch": 1, "expires": _AT, "format": 1, "holder": "one"},
        "envelope": {"payload": "e30=", "payloadType": audit.PAYLOAD_TYPE, "signatures": [{"keyid": "k", "sig": "00"}]},
    }


def _wire() -> Iterator[bytes]:
    names = list(WIRE)
    for name, document in _documents().items():
        yield bytes([names.index(name)]) + codec.canonical(document)
    for file in sorted(VECTORS.glob("bundle-*.json")):
        data = json.loads(file.read_text())["data"].encode()
        yield bytes([names.index("bundle")]) + data
        yield bytes([names.index("packed-bundle")]) + bundle.pack(data)


def _manifests() -> Iterator[bytes]:
    for number, path in enumerate(REPLACED):
        yield bytes([number]) + dedent(FILES[path]).encode()
    yield b"\0" + COLLECTOR.encode()


def _archives() -> Iterator[bytes]:
    for number, form in enumerate(FORMS):
        yield bytes([number]) + release("one", form)
    plain = tar((member("dir/file", mode=0o755), b"content"), (member("long" * 30), b""))
    yield b"\3" + plain
    yield b"\4" + plain


_REFERENCES = (
    b"x\0a ${agent.name} ${labels.region} $${labels.x} ${parameters.a.b} ${secret.c} ${label.d} {staged} {staged:/etc/a}",
    b"${agent.name}\0$${labels.a}${agent.id}$",
)
_HONEST: Mapping[str, tuple[bytes, ...]] = {
    "manifests": tuple(_manifests()),
    "wire": tuple(_wire()),
    "references": _REFERENCES,
    "journal": (codec.canonical(_JOURNAL),),
    "archives": tuple(_archives()),
}


def field_names(target: str) -> list[str]:
    """Return the words that a target's inputs are made of: names of fields, of manifests or of wire documents."""
    files = SCHEMAS.glob("*.json") if target == "manifests" else SCHEMAS.glob("wire/*.json") if target in ("wire", "journal") else ()
    return sorted({word for file in files for word in re.findall(r'"([A-Za-z_]+)"', file.read_text())})


def regressions(target: str) -> dict[str, bytes]:
    """Return what once broke a target, by the name of its file."""
    return {file.name: file.read_bytes() for file in sorted((REGRESSIONS / target).glob("*")) if file.is_file()}


def seeds(target: str) -> list[bytes]:
    """Return what fuzzing of a target begins with; the first ones are honest."""
    return [*_HONEST[target], *regressions(target).values()]


assert TARGETS.keys() == _HONEST.keys()
