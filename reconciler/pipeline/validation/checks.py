"""What one manifest gets wrong that its schema can't say: alternatives, duplicates in lists, times.

The schema has been asked already, and its findings stand beside these: a value of the wrong shape is passed over here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any, TypeGuard

from agent.protocol import rendering
from agent.protocol.errors import MalformedError
from reconciler.pipeline import attestations
from reconciler.pipeline.finding import Finding, Pointer
from reconciler.pipeline.manifests import SIGNERS_DIRECTORY, Document
from reconciler.pipeline.signatures.keys import ssh_blob
from reconciler.pipeline.validation import resources, rollouts, strategies, tenancy
from reconciler.pipeline.validation.fields import instant, items
from reconciler.pipeline.validation.findings import alternatives, refused, schema_refused, shown, spelled

PROBES = ("http", "tcp", "command", "file")
"""What a probe asks, one of these."""
SECRET_SOURCES = ("source", "vault", "file")
"""Where a secret comes from, one of these."""
_NAMED_LISTS: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "Component": (
        (("includes",), "name"),
        (("artifacts",), "name"),
        (("files",), "path"),
        (("processes",), "name"),
        (("services",), "name"),
        (("containers",), "name"),
        (("packageRepositories",), "name"),
        (("packages",), "name"),
        (("groups",), "name"),
        (("users",), "name"),
        (("actions",), "name"),
        (("secrets",), "name"),
        (("probes",), "name"),
    ),
    "Fleet": ((("components",), "name"), (("modes",), "name"), (("rollout", "waves"), "name"), (("rollout", "health", "metrics"), "name")),
}
"""Lists in the spec whose items are told apart by a field."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(_DAY.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def check(document: Document) -> Iterator[Finding]:
    """Yield all findings of the manifest's kind."""
    yield from _repeated(document)
    for one in _CHECKS.get(document.kind, ()):
        yield from one(document)


def _repeated(document: Document) -> Iterator[Finding]:
    for fields, key in _NAMED_LISTS.get(document.kind, ()):
        first: dict[str, Pointer] = {}
        for pointer, item in items(document, *fields):
            value = item.get(key)
            if isinstance(value, str) and first.setdefault(value, pointer) != pointer:
                message = f"{spelled(pointer)}: {key} {shown(value)} stands in {spelled(first[value])} already"
                yield refused(document, "duplicate", (*pointer, key), message, remedy="rename or remove one of them")


def _files(document: Document) -> Iterator[Finding]:
    """Yield files whose content, source and target do not fit their type."""
    for pointer, item in items(document, "files"):
        kind, stated = item.get("type", "file"), [name for name in ("content", "source", "target") if name in item]
        allowed = {"file": ("content", "source"), "symlink": ("target",)}.get(kind, ())
        if item.get("absent") is True:
            allowed = ()
        for name in stated:
            if name not in allowed:
                what = "with absent: true" if item.get("absent") is True else f"of type {kind!s:.20}"
                yield alternatives(document, (*pointer, name), f"{name} does not belong to a file {what}", "leave it out", at_key=True)
        if allowed and not any(name in allowed for name in stated):
            yield alternatives(document, pointer, f"a {kind} needs {' or '.join(allowed)}", f"add {allowed[0]}", needs=allowed)
        yield from resources.program(document, (*pointer, "check", 0), item.get("check"), staged=True)
        if len(allowed) > 1 and all(name in stated for name in allowed):
            message = f"a {kind} has {' or '.join(allowed)}, not both"
            yield alternatives(document, (*pointer, allowed[1]), message, "leave one of them out", at_key=True)


def _artifacts(document: Document) -> Iterator[Finding]:
    """Yield artifacts that don't say where they come from in exactly one way."""
    for pointer, item in items(document, "artifacts"):
        single = [name for name in ("url", "sha256", "size") if name in item]
        if "platforms" in item:
            for name in single:
                message = f"{name} stands beside platforms, which say it for each"
                yield alternatives(document, (*pointer, name), message, "leave one of them out", at_key=True)
        elif "url" not in item and "sha256" not in item:
            needs, message = ("url", "sha256", "platforms"), "an artifact needs url and sha256, or platforms"
            yield alternatives(document, pointer, message, "say where it comes from", needs=needs)
        elif "url" not in item or "sha256" not in item:
            missing = "sha256" if "url" in item else "url"
            remedy = f"add {missing}: an artifact has both or platforms"
            yield alternatives(document, pointer, f"{missing} is missing", remedy, needs=(missing, "platforms"))
        if "unpackedSize" in item and "unpack" not in item:
            message = "unpackedSize belongs to an artifact with unpack"
            yield alternatives(document, (*pointer, "unpackedSize"), message, "say how it is unpacked, or leave it out", at_key=True)


def _probes(document: Document) -> Iterator[Finding]:
    for pointer, item in items(document, "probes"):
        stated = [name for name in PROBES if name in item]
        if not stated:
            yield alternatives(document, pointer, "a probe needs one of http, tcp, command and file", "say what it asks", needs=PROBES)
        for name in stated[1:]:
            message = f"a probe has one of http, tcp, command and file, and this one has {stated[0]} already"
            yield alternatives(document, (*pointer, name), message, "make a probe of its own of it", at_key=True)
        if "maxAge" in item and "file" not in item:
            yield alternatives(document, (*pointer, "maxAge"), "maxAge belongs to a file", "leave it out", at_key=True)


def _secrets(document: Document) -> Iterator[Finding]:
    """Yield secrets that don't say where they come from in exactly one way."""
    for pointer, item in items(document, "secrets"):
        stated = [name for name in SECRET_SOURCES if name in item]
        if not stated:
            message = "a secret needs one of source, vault and file"
            yield alternatives(document, pointer, message, "say where hosts get it from", needs=SECRET_SOURCES)
        for name in stated[1:]:
            message = f"a secret has one of source, vault and file, and this one has {stated[0]} already"
            yield alternatives(document, (*pointer, name), message, "leave one of them out", at_key=True)
        if "key" in item and "source" not in item:
            yield alternatives(document, (*pointer, "key"), "key belongs to a source", "leave it out", at_key=True)


def _parameter_values(document: Document) -> Iterator[Finding]:
    """Yield values of parameters that look like references: values are never read again, so they stay text."""
    for pointer, text in _texts(("spec",), document.spec):
        inside = len(pointer) > 1 and (pointer[1] in ("variants", "modes") or "parameters" in pointer[1:])
        offset = next((start for _, _, start in rendering.references(text)), None) if inside and "${" in text else None
        if offset is not None and pointer[-1] not in ("description", "pattern"):
            message = f"{spelled(pointer)}: {shown(text)} is no reference here and reaches the host as plain text"
            remedy = "write the reference into the content that uses the parameter; values of parameters are inserted as they are"
            yield refused(document, "near-miss", pointer, message, remedy=remedy, action="warn")


def _texts(pointer: Pointer, value: Any) -> Iterator[tuple[Pointer, str]]:
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts((*pointer, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts((*pointer, index), item)


def _freeze(document: Document) -> Iterator[Finding]:
    yield from _period(document, ("spec",), document.spec, "a freeze")


def _role(document: Document) -> Iterator[Finding]:
    yield from _period(document, ("spec",), document.spec, "a role")


def _signer_keys(document: Document) -> Iterator[Finding]:
    """Yield keys that are not stated in exactly one way, that can't be read, or that end before they begin."""
    for pointer, key in items(document, "keys"):
        stated = [name for name in ("ssh", "gpg") if name in key]
        if len(stated) != 1:
            yield alternatives(document, pointer, "a key is either ssh or gpg", "write one of them", needs=() if stated else ("ssh", "gpg"))
        if stated == ["ssh"] and isinstance(key["ssh"], str):
            try:
                ssh_blob(key["ssh"])
            except MalformedError as error:
                remedy = "write the one line of the .pub file, such as ssh-ed25519 AAAA… ana@example.com"
                yield refused(document, "signer", (*pointer, "ssh"), str(error), remedy=remedy)
        yield from _period(document, pointer, key, "a key")


def _signer_rights(document: Document) -> Iterator[Finding]:
    """Yield what a signer can't be: a tenant's own that is more than its tenant's, or one that may do nothing."""
    spec, tenant = document.spec, document.metadata.get("tenant")
    owner, role = spec.get("policyOwner") is True, spec.get("role", "person")
    if owner and (tenant is not None or role != "person"):
        message = "spec.policyOwner: only a person in signers/, without a tenant, can be a policy owner"
        yield refused(document, "signer", ("spec", "policyOwner"), message, remedy="leave it out, or move the signer to signers/")
    if role == "forge" and (tenant is not None or spec.get("may")):
        message = (
            "spec.role: a forge's key counts for merges of the whole repository that change nothing by themselves, and for nothing else"
        )
        yield refused(document, "signer", ("spec", "role"), message, remedy="put it into signers/, without a tenant and without may")
    if not owner and role != "forge" and not spec.get("may"):
        yield alternatives(
            document, ("spec",), "a signer needs may, or it may touch nothing", "say which paths", at_key=True, needs=("may",)
        )


def _period(document: Document, pointer: Pointer, stated: Mapping[str, Any], what: str) -> Iterator[Finding]:
    """Yield what is wrong with a pair of fields `from` and `until`."""
    start, end = (instant(stated.get(name)) for name in ("from", "until"))
    for name, found in (("from", start), ("until", end)):
        if found is None and _has_form(stated.get(name), _INSTANT):
            yield _no_such_day(document, (*pointer, name), stated[name])
    if start is not None and end is not None and end <= start:
        message = f"{spelled((*pointer, 'until'))}: {what} ends after it begins"
        yield schema_refused(document, "limit", (*pointer, "until"), message, remedy="write a later time")


def _waiver(document: Document) -> Iterator[Finding]:
    """Yield what a waiver lacks: one for an incident ends at an instant and may leave out the place; any other has a day and a place."""
    expires, glass = document.spec.get("expires"), document.spec.get("breakGlass")
    if isinstance(glass, dict):
        until = glass.get("until")
        if "expires" in document.spec:
            message = "breakGlass says until when, so expires does not belong beside it"
            yield alternatives(document, ("spec", "expires"), message, "leave one of them out", at_key=True)
        if instant(until) is None and _has_form(until, _INSTANT):
            yield _no_such_day(document, ("spec", "breakGlass", "until"), until)
        return
    for name, what in (("expires", "the last day on which it counts"), ("at", "the place that it excuses")):
        if name not in document.spec:
            yield alternatives(document, ("spec",), f"a waiver needs {name}, {what}", f"add {name}", needs=(name, "breakGlass"))
    try:
        if _has_form(expires, _DAY):
            date.fromisoformat(expires) + timedelta(days=1)
    except (ValueError, OverflowError):
        yield _no_such_day(document, ("spec", "expires"), expires)


def _has_form(value: object, form: re.Pattern[str]) -> TypeGuard[str]:
    """Return whether a text looks like a day or an instant; others are the schema's to refuse."""
    return isinstance(value, str) and form.fullmatch(value) is not None


def _no_such_day(document: Document, pointer: Pointer, value: object) -> Finding:
    message = f"{spelled(pointer)}: {shown(value)} is no day of the calendar"
    return schema_refused(document, "date", pointer, message, remedy="write a day that exists, such as 2027-01-31")


def _repository(document: Document) -> Iterator[Finding]:
    stated = document.spec.get("provenance")
    listed = stated.get("keys") if isinstance(stated, dict) else None
    for index, pem in enumerate(listed if isinstance(listed, list) else ()):
        try:
            attestations.key(pem if isinstance(pem, str) else "")
        except MalformedError as error:
            remedy = "write the whole of cosign.pub, or of another public key in PEM"
            yield refused(document, "provenance", ("spec", "provenance", "keys", index), str(error), remedy=remedy)
    for pointer, item in items(document, "overrides"):
        if "paths" not in item and "tenants" not in item:
            yield alternatives(
                document, pointer, "an override needs paths, tenants, or both", "say where it counts", needs=("paths", "tenants")
            )
    directories = {name: document.spec.get(name, name) for name in ("tenants", "library", "policies")} | {"signers": SIGNERS_DIRECTORY}
    for name, directory in directories.items():
        for other, outer in directories.items():
            if name != other and isinstance(directory, str) and isinstance(outer, str) and f"{directory}/".startswith(f"{outer}/"):
                message = f"spec.{name}: {shown(directory)} lies in {other} ({shown(outer)})"
                pointer = ("spec", other if name == "signers" else name)
                yield schema_refused(document, "limit", pointer, message, remedy="keep tenants, library, policies and signers apart")


_CHECKS: Mapping[str, tuple[Callable[[Document], Iterator[Finding]], ...]] = {
    "Agent": (tenancy.reporting, tenancy.platforms),
    "AgentPool": (tenancy.reporting, tenancy.platforms),
    "Component": (_files, _artifacts, _probes, _secrets, *resources.CHECKS, _parameter_values),
    "Fleet": (rollouts.check, strategies.check, _parameter_values),
    "Freeze": (_freeze,),
    "Repository": (_repository,),
    "Role": (_role,),
    "Signer": (_signer_keys, _signer_rights),
    "Tenant": (tenancy.reporting, tenancy.retention),
    "Waiver": (_waiver,),
}
