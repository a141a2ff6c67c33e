"""Which package a Rego file may define: the one that follows from where it lies, so none can change what another decides.

OPA itself accepts a file that adds to the library's packages, or replaces `system.authz`. The package is read twice: here
from the text, for findings with a line before anything is compiled, and by `checking` from OPA's own parser, which counts.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.policy.library import AUTHZ, RESERVED_TENANTS, Source, refused

LIBRARY_CATEGORY = "lib"
"""Packages of this category help other rules (`ordain.custom.lib.<name>`) and are never asked themselves."""
ROUTER_OF_AUTHZ = "permit"
"""What `serve` asks: it stands above the policies about operators, as `main` stands above the rules."""
_DECLARED = re.compile(rb"^package[ \t]+([^\s#]+)", re.MULTILINE)
_FIRST = re.compile(r"[A-Za-z_]\w*")
_STEP = re.compile(r'\.([A-Za-z_]\w*)|\["((?:[^"\\]|\\.)*)"\]')
_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")

Package = tuple[str, ...]
"""A package without `data`: ("ordain", "rules", "supply_chain", "https_only")."""


def package_of(text: str) -> Package:
    """Return the parts of a package as Rego writes it: `a.b["c-d"]`."""
    first = _FIRST.match(text)
    rest = tuple(plain or quoted for plain, quoted in _STEP.findall(text[first.end() :])) if first else ()
    return (first.group(), *rest) if first else (text,)


def declared(source: Source) -> Package | None:
    """Return the package that a file's text declares; None where it declares none, which OPA will say."""
    match = _DECLARED.search(source.content)
    return package_of(match[1].decode(errors="replace")) if match else None


def faults(files: Mapping[str, Source]) -> dict[str, Finding]:
    """Return, by path in the judge, files whose package is not theirs to define or is a rule that another file holds."""
    found: dict[str, Finding] = {}
    holders: dict[Package, Source] = {}
    for path, source in files.items():
        package = declared(source)
        if package is None:
            continue
        for finding in misplaced(package, source):
            found[path] = finding
        holder = holders.setdefault(package, source)
        if holder is not source and package[-2:-1] != (LIBRARY_CATEGORY,):
            message = f"package {'.'.join(package)} is also in {holder.place}; a rule is one file"
            found.setdefault(path, refused("policy/package", message, _place(source)))
    return found


def misplaced(package: Package, source: Source) -> Iterator[Finding]:
    """Refuse a package that its file may not define."""
    wanted = _wanted(source)
    fits = len(package) == len(wanted) and all(
        _NAME.fullmatch(part) if want.startswith("<") else part == want for part, want in zip(package, wanted, strict=True)
    )
    if not fits or source.tenant in RESERVED_TENANTS:
        message = f"package {'.'.join(package)} is not this file's to define"
        yield refused("policy/package", message, _place(source), f"name it {'.'.join(wanted)}, with _ for -")


def _wanted(source: Source) -> Package:
    if source.origin == "core":
        stem = Path(source.path).stem
        return ("ordain", AUTHZ, stem) if f"/{AUTHZ}/" in source.path and stem != ROUTER_OF_AUTHZ else ("ordain", stem)
    if source.origin == "authz":
        return ("ordain", AUTHZ, "custom", "<name>")
    if source.origin == "tenant":
        return ("ordain", "tenants", source.tenant.replace("-", "_"), "<category>", "<rule>")
    return ("ordain", "rules" if source.origin == "library" else "custom", "<category>", "<rule>")


def _place(source: Source) -> Place:
    match = _DECLARED.search(source.content)
    return Place(file=source.place, line=source.content[: match.start()].count(b"\n") + 1 if match else 1, column=1)
