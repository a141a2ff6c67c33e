"""What a rule says of itself in METADATA, and what follows from where it lies: its id, which it can't choose."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.policy.checking import Checked
from reconciler.pipeline.policy.library import Source, refused
from reconciler.pipeline.policy.placement import LIBRARY_CATEGORY, Package
from reconciler.pipeline.validation.fields import seconds

Level = Literal["off", "audit", "warn", "deny"]
Scope = Literal["object", "release", "change"]
Standing = Literal["show", "block"]

COMPONENT = "Component"
"""The kind whose texts are filled in."""
TEXT_LIMIT = 4000
RECHECK_LEAST = 600
"""Seconds: everything is asked again then, which takes seconds where there are ten thousand manifests."""
_KNOWN = {"scope", "severity", "code", "remedy", "standing", "sensitive", "parameters", "needs", "recheckAfter", "waivable", "finished"}
_CODE = re.compile(r"[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*")
_REPORTS = re.compile(rb"^deny contains\b", re.MULTILINE)
_SILENT = re.compile(rb"^(?:\s*#.*|package .*|import data\.ordain\.result)$", re.MULTILINE)
"""Lines in which a rule reads nothing."""
_READS_CHANGE = re.compile(rb"\bchange\b|\binput\b(?!\.[A-Za-z_])|\bdata\.(?!ordain\.result\b)")
_READS_OLD = re.compile(rb"\bold\b|\binput\b(?!\.[A-Za-z_])|\bdata\.(?!ordain\.result\b)")
_READS_TIME = re.compile(
    rb"\bchange\b(?!\.(?:from|to|commits|objects|impact|judge)\b)|\binput\b(?!\.[A-Za-z_])|\bdata\.(?!ordain\.result\b)"
)
"""What shows that a rule may read `change.now`: that by name, or a change of which it may take any field."""
_TAKES_PARAMETERS = re.compile(rb"\binput\b(?!\.[A-Za-z_])|\binput\.parameters\b(?!\.[A-Za-z_])|\bdata\.(?!ordain\.result\b)")
"""What shows that a rule may read parameters otherwise than by name."""
_PARAMETER = re.compile(rb"\binput\.parameters\.(\w+)")
_PLAIN_LINE = re.compile(rb"^[^`$\n]*$", re.MULTILINE)
"""A line whose texts are only texts: those in backticks may go on over lines, and those after $ hold expressions."""
_STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*"')
_HELPER = re.compile(rb"^import data\.ordain\.rules\.lib\.(\w+)$", re.MULTILINE)
_REMEDY = "begin the file with METADATA as the rules of the library do; `ordain policy list` names them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, as its METADATA describes it; `id` comes from where it lies, never from what it says.

    `path` leads to its package below `data.ordain`. `severity` is the level where `ordain.yaml` says nothing.
    `standing` is "block" where a verdict that was there before blocks too. What a rule finds that is not `waivable` can't be
    excused. All is asked again every `recheck` seconds, at
    multiples of that since 1970; 0 for never. `reads_change` is false only where that is
    certain: then an object rule's verdict holds for as long as (object, old, judge) do. So is `reads_time`: then what it
    says of the same change is the same at any time; where `reads_old` is, the old version makes no
    difference. `names_parameters` is true only where it certainly reads its own ones
    by name and no others: then it makes no difference to it what else stands beside them. `kinds` is empty where it asks
    about all. What a `sensitive` rule finds is never repeated, only its digest. `tenant` is set for a tenant's own rule.
    `needs` are parameters of which one must be
    set, or the rule is off: it would have nothing to go by. A rule about components that is `finished` is also asked about
    what labels and parameters make of them in each release.
    """

    id: str
    path: Package
    scope: Scope
    severity: Level
    code: str
    title: str
    description: str
    remedy: str
    file: str
    standing: Standing = "show"
    sensitive: bool = False
    waivable: bool = True
    finished: bool = False
    recheck: int = 0
    reads_change: bool = True
    reads_time: bool = True
    reads_old: bool = True
    names_parameters: bool = False
    kinds: frozenset[str] = frozenset()
    tenant: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


def rules(checked: Checked, kinds: Mapping[str, str]) -> tuple[dict[str, Rule], tuple[Finding, ...]]:
    """Return the rules of checked files by id, and what is wrong with their METADATA; `kinds` is schema name → kind."""
    found: dict[str, Rule] = {}
    findings: list[Finding] = []
    for package, sources in sorted(checked.packages.items()):
        if sources[0].origin == "core" or package[-2] == LIBRARY_CATEGORY:
            continue
        faults = [*_faults(sources[0], checked.annotations.get(package), kinds)]
        if faults:
            findings += faults
        else:
            rule = _rule(package, sources[0], checked, kinds)
            found[rule.id] = rule
    return dict(sorted(found.items())), tuple(findings)


def rule_id(package: Package) -> str:
    """Return the id of a rule's package: ("ordain", "rules", "supply_chain", "https_only") is supply-chain/https-only."""
    skipped = 1 if package[1] == "custom" else 2
    return "/".join(part.replace("_", "-") for part in package[skipped:])


def _rule(package: Package, source: Source, checked: Checked, kinds: Mapping[str, str]) -> Rule:
    annotation = checked.annotations[package]
    custom = annotation["custom"]
    code = _code(source, checked)
    return Rule(
        id=rule_id(package),
        path=package[1:],
        scope=custom["scope"],
        severity=custom["severity"],
        code=custom["code"],
        title=annotation["title"],
        description=annotation.get("description", "").strip(),
        remedy=custom.get("remedy", "").strip(),
        file=source.place,
        standing=custom.get("standing", "show"),
        sensitive=custom.get("sensitive", False),
        waivable=custom.get("waivable", True),
        finished=custom.get("finished", False),
        recheck=seconds(custom.get("recheckAfter")) or 0,
        reads_change=_READS_CHANGE.search(code) is not None,
        reads_time=_READS_TIME.search(_PLAIN_LINE.sub(_without_texts, code)) is not None,
        reads_old=_READS_OLD.search(code) is not None,
        names_parameters=_names_parameters(code, custom.get("parameters", {})),
        kinds=_kinds(annotation, kinds),
        tenant=source.tenant,
        parameters=custom.get("parameters", {}),
        needs=tuple(custom.get("needs", ())),
    )


def _code(source: Source, checked: Checked) -> bytes:
    """Return what a rule reads by: its own lines, and those of the library's helpers that it imports."""
    helpers = [("ordain", "rules", LIBRARY_CATEGORY, name.decode()) for name in _HELPER.findall(source.content)]
    texts = [source.content, *(helper.content for package in helpers for helper in checked.packages.get(package, ()))]
    return b"\n".join(_SILENT.sub(b"", _HELPER.sub(b"", text)) for text in texts)


def _names_parameters(code: bytes, declared: Mapping[str, Any]) -> bool:
    named = {name.decode() for name in _PARAMETER.findall(code)}
    return _TAKES_PARAMETERS.search(code) is None and named <= declared.keys()


def _without_texts(line: re.Match[bytes]) -> bytes:
    return _STRING.sub(b'""', line[0])


def _kinds(annotation: Mapping[str, Any], kinds: Mapping[str, str]) -> frozenset[str]:
    """Return the kind whose schema METADATA gives to `input.object`: the rule is asked about no other."""
    for entry in annotation.get("schemas") or ():
        path = [part.get("value") for part in entry.get("path") or ()]
        schema = [part.get("value") for part in entry.get("schema") or ()]
        if path == ["input", "object"] and schema[:1] == ["schema"] and schema[-1] in kinds:
            return frozenset({kinds[schema[-1]]})
    return frozenset()


def _faults(source: Source, annotation: Mapping[str, Any] | None, kinds: Mapping[str, str]) -> Iterator[Finding]:
    """Say what keeps a package from being a rule; each of these would otherwise be a rule that silently never fires."""
    place = Place(file=source.place, line=1, column=1)
    if not _REPORTS.search(source.content):
        remedy = "write `deny contains result.at(rego.metadata.chain(), path, message) if { … }`"
        yield refused("policy/deny", "it reports nothing: it has no `deny contains …`", place, remedy)
    if annotation is None:
        yield refused("policy/metadata", "it has no METADATA on its package", place, _REMEDY)
        return
    for message in _metadata_faults(annotation, source):
        yield refused("policy/metadata", message, place, _REMEDY)
    custom = annotation.get("custom") or {}
    if custom.get("finished") is True and (custom.get("scope") != "object" or not _kinds(annotation, kinds) <= {COMPONENT}):
        message = "METADATA custom.finished is for rules of scope object about components: only those have texts that are filled in"
        yield refused("policy/metadata", message, place, _REMEDY)


def _metadata_faults(annotation: Mapping[str, Any], source: Source) -> Iterator[str]:
    custom = annotation.get("custom") or {}
    for name in sorted(custom.keys() - _KNOWN):
        yield f"METADATA custom.{name} is not known; custom has {', '.join(sorted(_KNOWN))}"
    if not _is_text(annotation.get("title")):
        yield "METADATA title must say in one line what holds where the rule is kept"
    yield from _choice("scope", custom.get("scope"), get_args(Scope))
    yield from _choice("severity", custom.get("severity"), get_args(Level))
    yield from _choice("standing", custom.get("standing", "show"), get_args(Standing))
    if not _is_text(custom.get("code")) or not _CODE.fullmatch(custom["code"]):
        yield "METADATA custom.code must be lower-case words joined by - and /, such as supply-chain/insecure-url"
    if not isinstance(custom.get("remedy", ""), str):
        yield "METADATA custom.remedy must be text"
    yield from _fields_faults(custom)
    if not isinstance(custom.get("parameters", {}), dict):
        yield "METADATA custom.parameters must be parameters by name, with their default values"
    if not _are_parameters(custom.get("needs", []), custom.get("parameters")):
        yield "METADATA custom.needs must list names of custom.parameters"
    if source.tenant and custom.get("scope") == "change":
        yield "METADATA custom.scope change is not for a tenant's own rules: a change may be of other tenants too"


def _fields_faults(custom: Mapping[str, Any]) -> Iterator[str]:
    """Say which plain fields have a value of another kind."""
    if "recheckAfter" in custom and (seconds(custom["recheckAfter"]) or 0) < RECHECK_LEAST:
        yield f"METADATA custom.recheckAfter must be a duration of at least {RECHECK_LEAST // 60} minutes, such as 24h"
    for name in ("sensitive", "waivable", "finished"):
        if not isinstance(custom.get(name, False), bool):
            yield f"METADATA custom.{name} must be true or false"


def _are_parameters(names: object, parameters: object) -> bool:
    known = parameters if isinstance(parameters, dict) else {}
    return isinstance(names, list) and all(isinstance(name, str) and name in known for name in names)


def _choice(name: str, value: object, choices: tuple[str, ...]) -> Iterator[str]:
    if value not in choices:
        yield f"METADATA custom.{name} must be one of {', '.join(choices)}"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_LIMIT
