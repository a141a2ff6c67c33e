"""The schemas as a contract: nothing undescribed, nothing open, nothing without a bound, and the same fields as the code."""

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from jsonschema import Draft202012Validator

from agent.protocol import bundle, codec, membership, report, rollout
from agent.protocol.state import (
    Action,
    Artifact,
    ArtifactSource,
    CrashLoop,
    File,
    HostFile,
    Limits,
    Module,
    Package,
    Probe,
    Process,
    Reboot,
    Repository,
    Service,
    State,
    Sysctl,
    User,
    Window,
)
from agent.protocol.state import Group as HostGroup
from reconciler.pipeline.accepted import AcceptedState
from reconciler.pipeline.audit import DecisionRecord
from reconciler.pipeline.policy.judge import pack
from reconciler.pipeline.validation import KINDS, names, schema
from reconciler.publication import controls, lease, operator_rules

Where = tuple[str | int, ...]
STRUCTS = {
    "wire/accepted": AcceptedState,
    "wire/bundle": bundle._Data,  # noqa: SLF001 - the document that a bundle file holds
    "wire/controls": controls.Controls,
    "wire/decision": DecisionRecord,
    "wire/lease": lease._Record,  # noqa: SLF001 - the document that a lease file holds
    "wire/members": membership.Members,
    "wire/operator-rules": operator_rules.OperatorRules,
    "wire/receipt": report.Receipt,
    "wire/rollout": rollout.RolloutDocument,
    "wire/shard": membership.Shard,
}
RUNNING: dict[str, Any] = {
    "processes": [
        Process(name="a", command=["/a"], after=["service/a.service"], limits=Limits(memory="1Mi"), crash_loop=CrashLoop(starts=3))
    ],
    "services": [Service(name="a.service", state="running", masked=True, unit_files=["/etc/systemd/system/a.service"])],
    "actions": [Action(name="a", on=["/etc/a"], run=["/a"])],
    "reboot": Reboot(when="always", within=Window(cron="0 3 * * *", duration="1h", time_zone="Europe/Berlin")),
    "repositories": [Repository(name="a", manager="apt", url="https://a.example", key="k", suites=["bookworm"], components=["main"])],
    "packages": [Package(name="libc6:amd64", version="1:2.3~rc1-4+deb12u1", hold=True, if_gone="keep")],
    "groups": [HostGroup(name="a", gid=5)],
    "users": [User(name="a", groups=["b"], home="/a", comment="A")],
    "modules": [Module(name="br_netfilter")],
    "sysctls": [Sysctl(name="net.core.somaxconn", value="1")],
    "host_files": [HostFile(name="a", path="/etc/hosts", content="x", comment=";")],
}
"""One of each thing that a state may hold beside files."""
LOOSE = {("wire/controls", "rollout"), ("wire/controls", "objectives"), ("wire/controls", "freezes")}
"""Fields that the code carries as the manifest has them, without a type of their own."""


def subschemas(node: Any, where: Where = ()) -> Iterator[tuple[Where, dict[str, Any]]]:
    """Yield every schema in a schema: properties, definitions, items, values and names of mappings."""
    yield where, node
    for group in ("properties", "$defs"):
        for key, inner in node.get(group, {}).items():
            yield from subschemas(inner, (*where, group, key))
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(node.get(key), dict):
            yield from subschemas(node[key], (*where, key))


def types_of(node: dict[str, Any]) -> set[str]:
    stated = node.get("type", [])
    return {stated} if isinstance(stated, str) else set(stated)


@pytest.fixture(params=names())
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_there_is_a_schema_for_every_kind_and_every_wire_document() -> None:
    assert {kind.lower() for kind in KINDS} | set(STRUCTS) | {"wire/judge"} == set(names())


def test_a_schema_is_valid_2020_12_and_names_itself(name: str) -> None:
    found = schema(name)
    Draft202012Validator.check_schema(found)
    jsonschema_rs.Draft202012Validator(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["$id"] == f"https://ordain.dev/schemas/v1/{name}.schema.json"
    assert found["title"]


def test_every_part_of_a_schema_is_described(name: str) -> None:
    undescribed = [where for where, node in subschemas(schema(name)) if not node.get("description", "").strip() and "$ref" not in node]
    assert undescribed == []
    assert not any(
        node["$ref"].startswith("#/$defs/") and "properties" in where[-2:-1] and "description" not in node
        for where, node in subschemas(schema(name))
        if "$ref" in node
    )


def test_every_object_is_closed_or_has_bounded_names_and_size(name: str) -> None:
    unbounded = [
        where
        for where, node in subschemas(schema(name))
        if "object" in types_of(node)
        and node.get("additionalProperties") is not False
        and not ("maxProperties" in node and "propertyNames" in node and isinstance(node.get("additionalProperties"), dict))
    ]
    assert unbounded == []


def test_every_text_list_and_number_is_bounded(name: str) -> None:
    unbounded = []
    for where, node in subschemas(schema(name)):
        kinds = types_of(node)
        fixed = "const" in node or "enum" in node
        missing = [
            key
            for kind, keys in (("string", ["maxLength"]), ("array", ["maxItems", "items"]), ("number", ["minimum", "maximum"]))
            for key in keys
            if (kind in kinds or (kind == "number" and "integer" in kinds)) and not fixed and key not in node
        ]
        unbounded += [(where, key) for key in missing]
        assert kinds or "$ref" in node, f"{where} says no type"
    assert unbounded == []


def test_no_schema_uses_what_switches_typed_rego_off(name: str) -> None:
    text = json.dumps(schema(name))
    assert not any(f'"{word}"' in text for word in ("oneOf", "anyOf", "allOf", "not", "if", "patternProperties"))
    assert all(node["$ref"].startswith("#/$defs/") for _, node in subschemas(schema(name)) if "$ref" in node)


def test_every_definition_is_used(name: str) -> None:
    text = json.dumps(schema(name))
    assert [key for key in schema(name).get("$defs", {}) if f'"#/$defs/{key}"' not in text] == []


@pytest.mark.parametrize("document", sorted(STRUCTS))
def test_a_wire_schema_has_the_fields_that_the_code_reads_and_writes(document: str) -> None:
    generated = msgspec.json.schema(STRUCTS[document])
    compare(document, generated, generated.get("$defs", {}), schema(document), schema(document).get("$defs", {}))


def test_what_the_code_writes_is_valid() -> None:
    digest = "ab" * 32
    state = State(
        artifacts=[Artifact(name="tool", path="/opt/tool", platforms={"any": ArtifactSource(url="store:tool", sha256=digest)})],
        files=[File(path="/etc/a", content="x", mode="0644"), File(path="/etc/b", type="symlink", target="a")],
        probes=[Probe(name="up", tcp="127.0.0.1:80")],
        **RUNNING,
    )
    group = bundle.Group(base=state, modes=[bundle.Mode(name="incident", at_most="4h", state=state)])
    made = bundle.Bundle(format=1, fleet="shop/web", groups={"g-0": group})
    agents = {f"web-{number}": membership.Member(group="g-0", labels={"role": "web"}) for number in range(300)}
    few, _ = membership.split("shop/web", 1, {"runners": membership.Member(group="g-0")}, dict(list(agents.items())[:5]))
    many, shards = membership.split("shop/web", 2, {}, agents)
    document = rollout.RolloutDocument(
        format=1,
        fleet="shop/web",
        serial=3,
        epoch=1,
        attempt=1,
        stable=rollout.Release(digest=digest, members=2),
        candidate=None,
        not_before="2026-11-26T00:00:00Z",
        modes=[rollout.ModeSwitch(name="incident", start="2026-11-26T00:00:00Z", until="2026-11-26T04:00:00Z")],
        held=rollout.Held(names=["web-1", "runners/7f3a"]),
    )
    written = [("wire/bundle", bundle.encode(made)), ("wire/rollout", codec.canonical(document))]
    written += [("wire/members", codec.canonical(members)) for members in (few, many)]
    written += [("wire/shard", shard) for shard in shards.values()]
    written += [("wire/judge", judge_manifest(pack({}, digest)))]
    for name, data in written:
        assert [error.message for error in jsonschema_rs.Draft202012Validator(schema(name)).iter_errors(json.loads(data))] == []


def judge_manifest(packed: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        member = archive.extractfile(".manifest")
        assert member is not None
        return member.read()


def compare(where: str, code: Any, code_defs: Any, ours: Any, our_defs: Any) -> None:
    """Hold a part of our schema to the part that msgspec makes of the code's types: fields, those required, nesting."""
    code, ours = resolved(code, code_defs), resolved(ours, our_defs)
    if "properties" not in code:
        for key in ("items", "additionalProperties"):
            if isinstance(code.get(key), dict) and isinstance(ours.get(key), dict):
                compare(f"{where}.*", code[key], code_defs, ours[key], our_defs)
        return
    assert set(ours["properties"]) == set(code["properties"]), where
    assert set(ours.get("required", ())) == set(code.get("required", ())), where
    for field, inner in code["properties"].items():
        if (where, field) not in LOOSE and (where.split(".", 1)[0], field) not in LOOSE:
            compare(f"{where}.{field}", inner, code_defs, ours["properties"][field], our_defs)


def resolved(node: Any, defs: Any) -> Any:
    """Follow a reference, and take what is not null of an alternative with null."""
    if "$ref" in node:
        return resolved(defs[node["$ref"].rsplit("/", 1)[1]], defs)
    if "anyOf" in node:
        return resolved(next(option for option in node["anyOf"] if option.get("type") != "null"), defs)
    return node
