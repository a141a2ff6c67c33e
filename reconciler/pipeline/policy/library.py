"""Which Rego files make up a judge, and where each may stand.

The router and the result helper always come from ordain itself: they are the other half of `evaluate`. Rules come
from the repository's vendored copy (`policies/library/`) where there is one, else from the library that ordain
brings. A repository's own rules are all other `.rego` files below `policies/`, of which those
in `policies/conftest/` were written for conftest, and those in `policies/authz/` are about operators. Tests and examples never load.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.tree import Tree
from reconciler.resources import directory

Origin = Literal["core", "library", "custom", "tenant", "conftest", "authz"]

FILES_LIMIT = 2_000
"""Rego files of one repository: OPA compiles about 500 in a second."""
BYTES_LIMIT = 256 * 1024
"""Bytes of one Rego file; people do not write longer ones."""
VENDORED = "library"
TENANTS = "tenants"
CONFTEST = "conftest"
"""Where rules stand that were written for conftest."""
AUTHZ = "authz"
"""Where a repository's own rules about operators and enrolment stand."""
RESERVED_TENANTS = frozenset({"custom", CONFTEST})
"""A tenant of such a name could not be told apart from the repository's own rules, or those for conftest, in ids."""
BUILT_IN = "(ordain) "
"""How the place of a file begins that ordain brings itself."""
_DATA = (".json", ".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A Rego file: `path` is where the judge keeps it, `place` where a person finds it."""

    path: str
    place: str
    origin: Origin
    content: bytes
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """All Rego files of a judge, by their path in it, and what was refused while looking for them.

    Those that were written for conftest, and those about operators, stand apart: other rules hold for them.
    """

    files: Mapping[str, Source]
    conftest: Mapping[str, Source] = field(default_factory=dict)
    authz: Mapping[str, Source] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def collect(tree: Tree, policies: str) -> Sources:
    """Return the Rego files that judge a tree whose own rules are under `policies`."""
    files = {source.path: source for source in _built_in()}
    findings: list[Finding] = []
    vendored: list[Source] = []
    for path, entry in tree.entries.items():
        if not path.startswith(policies + "/"):
            continue
        if not path.endswith(".rego"):
            findings += _refused_data(path, policies)
        elif path.endswith("_test.rego"):
            continue
        elif entry.size > BYTES_LIMIT:
            findings.append(refused("policy/too-large", f"{entry.size} bytes, more than {BYTES_LIMIT}", Place(file=path)))
        else:
            source = _own(path, policies, tree)
            vendored += [source] if source is not None and source.origin == "library" else []
            files |= {source.path: source} if source is not None and source.origin != "library" else {}
    if vendored:
        files = {path: source for path, source in files.items() if source.origin != "library"} | {
            source.path: source for source in vendored
        }
    apart = {origin: {path: source for path, source in sorted(files.items()) if source.origin == origin} for origin in (CONFTEST, AUTHZ)}
    if len(files) > FILES_LIMIT:
        findings.append(refused("policy/too-many", f"{len(files)} Rego files, more than {FILES_LIMIT}", Place(file=policies)))
    own = {path: source for path, source in sorted(files.items()) if source.origin not in apart}
    return Sources(files=own, conftest=apart[CONFTEST], authz=apart[AUTHZ], findings=tuple(findings))


def built_in_authz() -> dict[str, Source]:
    """Return ordain's own policies about operators and hosts, beside which a repository's own stand in `serve`."""
    files = [file for file in sorted((directory("policies") / AUTHZ).glob("*.rego")) if not file.name.endswith("_test.rego")]
    names = {file: f"{AUTHZ}/{file.name}" for file in files}
    found = [Source(path=f"core/{name}", place=BUILT_IN + name, origin="core", content=file.read_bytes()) for file, name in names.items()]
    return {source.path: source for source in found}


def refused(code: str, message: str, place: Place, remedy: str = "") -> Finding:
    """Return a finding on a policy file (rule `manifest/policy`)."""
    return Finding(action="deny", rule="manifest/policy", code=code, message=message, place=place, remedy=remedy)


def _built_in() -> Iterator[Source]:
    root = directory("policies")
    for name in ("main.rego", "result.rego"):
        yield Source(path=f"core/{name}", place=BUILT_IN + name, origin="core", content=(root / name).read_bytes())
    for file in sorted((root / "rules").rglob("*.rego")):
        if not file.name.endswith("_test.rego"):
            path = file.relative_to(root).as_posix()
            yield Source(path=f"library/{path}", place=BUILT_IN + path, origin="library", content=file.read_bytes())


def _own(path: str, policies: str, tree: Tree) -> Source | None:
    """Return a Rego file of the repository; None for the parts of a vendored copy that ordain brings itself."""
    parts = Path(path).relative_to(policies).parts
    if parts[0] == VENDORED:
        below = "/".join(parts[1:])
        return Source(path=f"library/{below}", place=path, origin="library", content=tree.read(path)) if parts[1] == "rules" else None
    if parts[0] == CONFTEST and len(parts) > 1:
        below = "/".join(parts)
        return Source(path=below, place=path, origin="conftest", content=tree.read(path))
    if parts[0] == AUTHZ and len(parts) > 1:
        return Source(path="/".join(parts), place=path, origin="authz", content=tree.read(path))
    if parts[0] == TENANTS and len(parts) > 2:  # noqa: PLR2004 - tenants/<tenant>/<file>
        return Source(path=f"own/{path}", place=path, origin="tenant", content=tree.read(path), tenant=parts[1])
    return Source(path=f"own/{path}", place=path, origin="custom", content=tree.read(path))


def _refused_data(path: str, policies: str) -> list[Finding]:
    """Refuse what looks like data for rules: it would not be loaded, and a rule that counts on it would find nothing."""
    parts = Path(path).relative_to(policies).parts
    if not path.endswith(_DATA) or parts[0] == VENDORED or "examples" in parts[:-1]:
        return []
    message = "data files are not loaded, so a rule would not find what it says"
    remedy = "put the values into custom.parameters of the rule's METADATA, or into ordain.yaml; examples belong into a directory examples/"
    return [refused("policy/data", message, Place(file=path), remedy)]
