"""Rules that were written for conftest, below `policies/conftest/`: they run unchanged, in packages of their own.

What conftest does is kept: a rule called `deny`, `violation` or `warn`, or one of these and `_something`, answers with
texts or with objects that have a `msg`; the manifest is `input`; `exception` names rules that don't count. Each package
has up to two rules here, `conftest/<package>` (deny) and `conftest/<package>/warn`, so `ordain.yaml` sets their levels.

Two things are put around them. A file is read as Rego v1 or, where it is none, as v0. And a small package per package
of theirs asks them about the manifest alone, and turns what they say into findings; ordain's own packages, and OPA's,
are not theirs to define.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.protocol.errors import RetryError
from reconciler.opa.program import hurried
from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.policy.library import Source, refused
from reconciler.pipeline.policy.metadata import Level, Rule
from reconciler.pipeline.policy.placement import Package
from reconciler.resources import directory

SECONDS = 60
"""The longest that OPA may take over reading them; a file takes 20 ms."""
ERRORS_SHOWN = 100
RESERVED = frozenset({"ordain", "system"})
"""Roots of packages that are not theirs: the router and the rules, and what decides who may ask OPA."""
LEVELS: Mapping[str, Level] = {"deny": "deny", "violation": "deny", "warn": "warn"}
"""What conftest makes of a rule by its name."""
_NAME = re.compile(r"(deny|violation|warn)(_[a-zA-Z0-9]+)*")
_WITH_BOTH = "write it for one of the two; ordain reads a file as v1 first, and as v0 where that fails"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A file as OPA reads it: its version of Rego, its package without `data`, and the names of its rules."""

    source: Source
    version: int
    package: Package
    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conftest:
    """All of it, for a judge: files by path in the bundle, those of v0, roots of packages, and rules by id; or findings."""

    files: Mapping[str, Source] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    """By both names that OPA gives a file: without a slash where a bundle is an archive, with one where it is a directory."""
    roots: tuple[str, ...] = ()
    rules: Mapping[str, Rule] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def load(sources: Mapping[str, Source], opa: Path) -> Conftest:
    """Read and check the files written for conftest, by path in the bundle; without any, nothing runs.

    Raises:
        RetryError: OPA can't be run.
    """
    if not sources:
        return Conftest()
    with tempfile.TemporaryDirectory(prefix="ordain-conftest-") as name:
        root = Path(name)
        _write(root, sources)
        with ThreadPoolExecutor(2) as readers:
            read = list(readers.map(lambda source: _read(source, root, opa), sources.values()))
        parsed = [each for each in read if isinstance(each, Parsed)]
        findings: list[Finding] = [each for each in read if isinstance(each, Finding)]
        findings += _misplaced(parsed)
        if findings:
            return Conftest(findings=tuple(findings))
        found = _assembled(sources, parsed)
        return Conftest(findings=tuple(faults)) if (faults := list(_faults(found, root, opa))) else found


def manifest(roots: tuple[str, ...], versions: Mapping[str, int]) -> dict[str, Any]:
    """Return what a bundle's manifest says of its packages' roots and of the files that are Rego v0."""
    return {"roots": list(roots), "rego_version": 1} | ({"file_rego_versions": dict(versions)} if versions else {})


def versions(contents: Mapping[str, bytes], opa: Path) -> dict[str, int]:
    """Return which of some files, by path, are Rego v0, as `manifest` takes it; those that are neither are left to who reads them."""
    sources = {path: Source(path=path, place=path, origin="conftest", content=content) for path, content in contents.items()}
    with tempfile.TemporaryDirectory(prefix="ordain-conftest-") as name:
        root = Path(name)
        _write(root, sources)
        read = [_read(source, root, opa) for source in sources.values()]
    return _named_twice(each.source.path for each in read if isinstance(each, Parsed) and each.version == 0)


def _named_twice(paths: Iterable[str]) -> dict[str, int]:
    return {name: 0 for path in paths for name in (path, f"/{path}")}


def _write(root: Path, sources: Mapping[str, Source]) -> None:
    for path, source in sources.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.content)


def _read(source: Source, root: Path, opa: Path) -> Parsed | Finding:
    errors, tree = _parse(root / source.path, opa)
    version = 1
    if errors:
        older, tree = _parse(root / source.path, opa, "--v0-compatible")
        if older:
            location = errors[0].get("location") or {}
            message = f"it is no Rego: as v1, {errors[0].get('message')}; as v0, {older[0].get('message')}"
            place = Place(file=source.place, line=location.get("row") or 1, column=location.get("col") or 1)
            return refused("policy/syntax", message, place, _WITH_BOTH)
        version = 0
    package = tuple(str(part["value"]) for part in tree["package"]["path"][1:])
    names = frozenset(str(rule["head"]["ref"][0]["value"]) for rule in tree.get("rules", ()))
    return Parsed(source=source, version=version, package=package, names=names)


def _parse(path: Path, opa: Path, *options: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return OPA's errors and, without any, the syntax tree."""
    status, output = _run(opa, ["parse", "--format=json", *options, path.name], path.parent)
    try:
        answer = json.loads(output)
    except ValueError as error:
        message = f"opa parse failed without saying why: {output.strip()[:300]}; try again"
        raise RetryError(message) from error
    return (answer.get("errors") or [{"message": "it can't be read"}], {}) if status else ([], answer)


def _misplaced(parsed: list[Parsed]) -> Iterator[Finding]:
    """Refuse packages that are not theirs to define, and two that would have the same id."""
    holders: dict[str, Parsed] = {}
    for each in parsed:
        name, shown = _id(each.package), ".".join(each.package)
        place = Place(file=each.source.place, line=1, column=1)
        if not each.package or each.package[0] in RESERVED:
            yield refused("policy/package", f"package {shown} is not this file's to define", place, "name it main, say")
        elif holders.setdefault(name, each).package != each.package:
            message = f"package {shown} and package {'.'.join(holders[name].package)} would both be {name}"
            yield refused("policy/package", message, place, "rename one of them")


def _assembled(sources: Mapping[str, Source], parsed: list[Parsed]) -> Conftest:
    packages: dict[Package, list[Parsed]] = {}
    for each in parsed:
        packages.setdefault(each.package, []).append(each)
    files, rules = dict(sources), {}
    for package, members in sorted(packages.items()):
        names = sorted(name for name in frozenset().union(*(each.names for each in members)) if _NAME.fullmatch(name))
        if names:
            content = _asking(package, names, excepted=any("exception" in each.names for each in members)).encode()
            path = f"conftest-asked/{_word(package)}.rego"
            files[path] = Source(path=path, place=members[0].source.place, origin="conftest", content=content)
        for level in sorted({LEVELS[_kind(name)] for name in names}):
            rule = _rule(package, level, members[0].source)
            rules[rule.id] = rule
    return Conftest(
        files=files,
        versions=_named_twice(each.source.path for each in parsed if each.version == 0),
        roots=tuple(sorted({each.package[0] for each in parsed})),
        rules=rules,
    )


def _rule(package: Package, level: Level, source: Source) -> Rule:
    name = ".".join(package)
    return Rule(
        id=_id(package) + ("/warn" if level == "warn" else ""),
        path=("conftest", _word(package), level),
        scope="object",
        severity=level,
        code=f"conftest/{level}",
        title=f"What package {name} in policies/conftest {'warns of' if level == 'warn' else 'denies'}",
        description="A rule written for conftest, which runs here unchanged.",
        remedy=f"see package {name} in {source.place.rpartition('/')[0]}",
        file=source.place,
        reads_change=False,
        reads_time=False,
    )


def _asking(package: Package, names: list[str], *, excepted: bool) -> str:
    """Return the Rego that asks a package's rules about the manifest alone, and turns what they say into findings."""
    theirs = "data" + "".join(f"[{json.dumps(part)}]" for part in package)
    lines = [f"package ordain.conftest.{_word(package)}", ""]
    for name in names:
        word = json.dumps(name.removeprefix(_kind(name)).removeprefix("_"))
        lines += [f"{LEVELS[_kind(name)]} contains finding(said) if {{"]
        lines += [f"\tnot excepted({word})"] if excepted else []
        lines += [f"\tanswers := {theirs}[{json.dumps(name)}] with input as input.object", "\tsome said in listed(answers)", "}", ""]
    if excepted:
        lines += ["excepted(word) if {", f"\tlists := {theirs}.exception with input as input.object", "\tword in lists[_]", "}", ""]
    return "\n".join([*lines, _TRANSLATED])


_TRANSLATED = """\
listed(answers) := answers if is_set(answers)

listed(answers) := answers if is_array(answers)

listed(answers) := [answers] if {
	not is_set(answers)
	not is_array(answers)
}

finding(said) := {"code": "", "path": [], "message": said} if is_string(said)

finding(said) := {"code": "", "path": [], "message": said.msg} if said.msg

# What is neither is no finding, which the caller says.
finding(said) := said if {
	not is_string(said)
	not said.msg
}
"""


def _faults(found: Conftest, root: Path, opa: Path) -> Iterator[Finding]:
    """Yield what keeps them from being compiled: with the capabilities of all rules, but without strictness about style."""
    _write(root, found.files)
    (root / ".manifest").write_text(json.dumps(manifest((*found.roots, "ordain"), found.versions)))
    capabilities = directory("policies") / "capabilities.json"
    options = ["--bundle", "--format=json", f"--max-errors={ERRORS_SHOWN}", f"--capabilities={capabilities}"]
    status, output = _run(opa, ["check", *options, "."], root)
    if status == 0:
        return
    try:
        errors = json.loads(output)["errors"]
    except (ValueError, KeyError, TypeError) as error:
        message = f"opa check failed without saying why: {output.strip()[:300]}; try again"
        raise RetryError(message) from error
    for fault in errors:
        location = fault.get("location") or {}
        source = found.files.get(str(location.get("file", "")).lstrip("./"))
        place = Place(file=source.place if source else "", line=location.get("row") or 1, column=location.get("col") or 1)
        yield refused("policy/check", str(fault.get("message", "can't be compiled")), place, "rules may use what policies.md lists")


def _id(package: Package) -> str:
    return f"conftest/{_word(package).replace('_', '-')}"


def _word(package: Package) -> str:
    """Return a package as one word of Rego."""
    return re.sub(r"[^a-z0-9]+", "_", "_".join(package).lower()).strip("_") or "none"


def _kind(name: str) -> str:
    return name.partition("_")[0]


def _run(opa: Path, arguments: list[str], root: Path) -> tuple[int, str]:
    try:
        done = subprocess.run([str(opa), *arguments], cwd=root, env=hurried(), capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{opa} can't be run: {error}; name another OPA in ORDAIN_OPA, or remove it from the cache"
        raise RetryError(message) from error
    return done.returncode, done.stdout or done.stderr
