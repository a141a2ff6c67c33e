"""Having OPA check Rego before it judges: strictly, with our capabilities, typed input, and each package in its place.

`opa run` takes no capabilities, so this is the gate: only what passed here is ever loaded. OPA itself would accept
a file that adds to the library's packages or replaces `system.authz`, so packages are compared with where files lie
(see `placement`).
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from agent.protocol.codec import sha256
from agent.protocol.errors import RetryError
from reconciler.opa.program import hurried
from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.policy import placement
from reconciler.pipeline.policy.flat import flat
from reconciler.pipeline.policy.library import BUILT_IN, Source, refused
from reconciler.pipeline.policy.placement import Package
from reconciler.resources import directory

CHECK_SECONDS = 60
"""The library takes 60 ms."""
ERRORS_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What OPA says of Rego files: findings on them or, without any, each rule's package, file and METADATA."""

    findings: tuple[Finding, ...] = ()
    packages: Mapping[Package, tuple[Source, ...]]
    annotations: Mapping[Package, Mapping[str, Any]]
    report: Mapping[str, Any] = field(default_factory=dict)
    """What the latter two were read from."""


def schemas() -> dict[str, dict[str, Any]]:
    """Return the flat schemas by the name that METADATA uses: `input`, `component` and so on."""
    files = [*directory("schemas").glob("*.schema.json"), directory("policies") / "input.schema.json"]
    return {path.name.removesuffix(".schema.json"): flat(json.loads(path.read_bytes())) for path in sorted(files)}


class Reports(Protocol):
    """What remembers OPA's reports on Rego files that it found no fault with."""

    def get(self, key: str) -> bytes | None:
        """Return a report, None where there is none that can be believed."""
        ...

    def put(self, key: str, report: bytes) -> None:
        """Keep a report."""
        ...


def check(files: Mapping[str, Source], opa: Path, *, reports: Reports | None = None) -> Checked:
    """Check Rego files by their path in the judge; raise `RetryError` if OPA can't be run.

    With `reports`, files that this OPA had no fault to find with are not checked again.
    """
    wrong = placement.faults(files)
    sound = {path: source for path, source in files.items() if path not in wrong}
    checked = _checked(sound, opa) if reports is None else _remembered(sound, opa, reports)
    return replace(checked, findings=(*wrong.values(), *checked.findings))


def _remembered(files: Mapping[str, Source], opa: Path, reports: Reports) -> Checked:
    key = _key(files, opa)
    known = reports.get(key)
    if known is not None:
        return _described(json.loads(known), files, [])
    checked = _checked(files, opa)
    if not checked.findings:
        reports.put(key, json.dumps(checked.report).encode())
    return checked


def _key(files: Mapping[str, Source], opa: Path) -> str:
    """Return a digest of all that OPA's report depends on."""
    status = opa.stat()
    parts = {
        "files": {path: sha256(source.content) for path, source in files.items()},
        "schemas": schemas(),
        "capabilities": sha256((directory("policies") / "capabilities.json").read_bytes()),
        "opa": [str(opa.resolve()), status.st_size, status.st_mtime_ns],
    }
    return sha256(json.dumps(parts, sort_keys=True).encode())


def _checked(files: Mapping[str, Source], opa: Path) -> Checked:
    with tempfile.TemporaryDirectory(prefix="ordain-check-") as name:
        root = Path(name)
        for path, source in files.items():
            target = root / "judge" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.content)
        (root / "schemas").mkdir()
        for title, schema in schemas().items():
            (root / "schemas" / f"{title}.json").write_text(json.dumps(schema))
        errors = list(_errors(root, files, opa))
        if any(error.code == "policy/syntax" for error in errors):
            return Checked(findings=tuple(errors), packages={}, annotations={})
        return _inspected(root, files, opa, errors)


def _errors(root: Path, files: Mapping[str, Source], opa: Path) -> Iterator[Finding]:
    capabilities = directory("policies") / "capabilities.json"
    options = ["--strict", "--format=json", f"--max-errors={ERRORS_SHOWN}", f"--capabilities={capabilities}", "--schema=schemas"]
    status, output = _run(opa, ["check", *options, "judge"], root)
    if status == 0:
        return
    for error in _errors_of(output):
        yield _finding(error, files)


def _errors_of(output: str) -> list[dict[str, Any]]:
    try:
        errors = json.loads(output)["errors"]
    except (ValueError, KeyError, TypeError) as error:
        message = f"opa check failed without saying why: {output.strip()[:300]}; try again"
        raise RetryError(message) from error
    return [error for error in errors if isinstance(error, dict)]


def _finding(error: Mapping[str, Any], files: Mapping[str, Source]) -> Finding:
    location = error.get("location") or {}
    source = files.get(str(location.get("file", "")).partition("judge/")[2])
    message = str(error.get("message", "can't be compiled"))
    place = Place(file=source.place if source else "", line=location.get("row") or 1, column=location.get("col") or 1)
    if source is None or source.place.startswith(BUILT_IN):  # ordain's own files are sound: something else broke them
        place = Place(file=_suspect(message, files))
    known = (error.get("details") or {}).get("oneOf") or []
    remedy = f"known here: {', '.join(map(str, known[:20]))}" if known else "`ordain policy test` checks rules as this does"
    code = "policy/syntax" if error.get("code") == "rego_parse_error" else "policy/check"
    return refused(code, message, place, remedy)


def _suspect(message: str, files: Mapping[str, Source]) -> str:
    """Return the own file whose package an error elsewhere names, else the first own file."""
    own = [source for source in files.values() if not source.place.startswith(BUILT_IN)]
    for source in own:
        package = placement.declared(source)
        if package and ".".join(package) in message:
            return source.place
    return own[0].place if own else BUILT_IN + "rules"


def _inspected(root: Path, files: Mapping[str, Source], opa: Path, errors: list[Finding]) -> Checked:
    status, output = _run(opa, ["inspect", "--annotations", "--format=json", "judge"], root)
    if status and errors:  # it compiles too, so it fails where the check did, but tells less
        return Checked(findings=tuple(errors), packages={}, annotations={})
    try:
        report = json.loads(output)
    except ValueError as error:
        message = f"opa inspect failed with status {status}: {output.strip()[:300]}; try again"
        raise RetryError(message) from error
    return _described(report, files, errors)


def _described(report: Mapping[str, Any], files: Mapping[str, Source], errors: list[Finding]) -> Checked:
    packages: dict[Package, tuple[Source, ...]] = {}
    for name, paths in report.get("namespaces", {}).items():
        package = placement.package_of(name)[1:]
        packages[package] = tuple(files[path.partition("judge/")[2]] for path in paths)
    misplaced = [finding for package, sources in packages.items() for source in sources for finding in placement.misplaced(package, source)]
    return Checked(findings=(*misplaced, *errors), packages=packages, annotations=_annotations(report), report=report)


def _annotations(report: Mapping[str, Any]) -> dict[Package, Mapping[str, Any]]:
    """Return what stands in METADATA of scope package, by package."""
    found = {}
    for entry in report.get("annotations", ()):
        annotation = entry.get("annotations") or {}
        if annotation.get("scope") == "package":
            found[tuple(str(part.get("value")) for part in entry.get("path", ())[1:])] = annotation
    return found


def _run(opa: Path, arguments: list[str], root: Path) -> tuple[int, str]:
    try:
        done = subprocess.run(
            [str(opa), *arguments], cwd=root, env=hurried(), capture_output=True, text=True, timeout=CHECK_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{opa} can't be run: {error}; name another OPA in ORDAIN_OPA, or remove it from the cache"
        raise RetryError(message) from error
    return done.returncode, done.stdout or done.stderr
