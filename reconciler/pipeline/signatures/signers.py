"""Who may touch what: Signer manifests as permissions, and the set of them that judges a range.

A key may stand in several manifests (somebody works for two tenants): its owner may do what any of them allows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from agent.protocol.errors import MalformedError
from reconciler.pipeline.manifests import Document, Layout, is_judge, is_signers
from reconciler.pipeline.policy.levels import pattern
from reconciler.pipeline.signatures.keys import fingerprint, ssh_blob
from reconciler.pipeline.validation.fields import instant

EXPLICIT = frozenset({"Waiver", "Signer", "Role"})
"""Kinds that excuse, or let in: a grant covers them only where it names them."""
Role = Literal["person", "bot", "forge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Paths that may be touched; `kinds` None means all but EXPLICIT."""

    paths: tuple[str, ...]
    kinds: frozenset[str] | None = None

    def covers(self, path: str, kinds: frozenset[str] | None) -> bool:
        """Return whether a file that holds, or held, these kinds may be touched; None: what it holds can't be read."""
        if not any(pattern(glob).fullmatch(path) for glob in self.paths):
            return False
        if self.kinds is None:
            return kinds is None or not kinds & EXPLICIT
        return kinds is not None and kinds <= self.kinds

    def within(self, other: "Grant") -> bool:
        """Return whether the other grant allows all that this one does, as far as patterns tell."""
        narrower = other.kinds is None or (self.kinds is not None and self.kinds <= other.kinds)
        explicit = (self.kinds or frozenset()) & EXPLICIT <= (other.kinds or frozenset())
        return narrower and explicit and all(any(_inside(glob, outer) for outer in other.paths) for glob in self.paths)


def _inside(glob: str, outer: str) -> bool:
    """Return whether one pattern matches nothing that another doesn't: the same one, or one below a `directory/**`."""
    stem = outer.removesuffix("**")
    return glob == outer or (
        outer.endswith("**") and not set(stem) & set("*?") and (not stem or stem.endswith("/")) and glob.startswith(stem)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A key of a signer: `name` is what verification answers with (an SSH fingerprint, or an OpenPGP block)."""

    name: str
    kind: Literal["ssh", "gpg"]
    blob: bytes = b""
    start: datetime | None = None
    end: datetime | None = None

    def refusal(self, now: datetime) -> str:
        """Return why the key counts for nothing at a time, nothing where it does."""
        if self.start is not None and now < self.start:
            return f"a key that counts from {self.start:%Y-%m-%dT%H:%M:%SZ} on"
        return f"a key that ended at {self.end:%Y-%m-%dT%H:%M:%SZ}" if self.end is not None and now >= self.end else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """One Signer manifest. `name` is `ana`, or `shop/bob` for a tenant's own."""

    name: str
    tenant: str = ""
    role: Role = "person"
    owner: bool = False
    credentials: tuple[Credential, ...] = ()
    grants: tuple[Grant, ...] = ()
    document: Document

    def may(self, path: str, kinds: frozenset[str] | None, layouts: Iterable[Layout]) -> bool:
        """Return whether its commits may touch a path that holds, or held, documents of these kinds."""
        if self.role == "forge" or not _plain(path):
            return False
        layouts = tuple(layouts)
        if self.owner:
            return True
        if any(is_judge(path, layout) or _seems_judge(path, layout) for layout in layouts):
            return False
        if self.tenant and not all(path.startswith(f"{layout.tenants}/{self.tenant}/") for layout in layouts):
            return False
        if any(is_signers(path, layout) for layout in layouts):
            if kinds is None:
                return False
            kinds |= {"Signer"}
        return any(grant.covers(path, kinds) for grant in self.grants)

    def exceeds(self, other: "Principal") -> bool:
        """Return whether this signer may do something that the other may not: then the other can't make or change it."""
        if other.owner:
            return False
        if self.owner or self.role == "forge" or (other.tenant and self.tenant != other.tenant):
            return True
        return not all(any(grant.within(held) for held in other.grants) for grant in self.grants)


def _plain(path: str) -> bool:
    """Return whether no part of a path means another place to somebody: what git can hold and no checkout should."""
    return all(part not in ("", ".", "..") and part.lower() != ".git" for part in path.split("/"))


def _seems_judge(path: str, layout: Layout) -> bool:
    """Return whether a path is the judge's where names don't tell small letters from large."""
    folded = Layout(**{name: getattr(layout, name).casefold() for name in ("tenants", "library", "policies")})
    return is_judge(path.casefold(), folded)


@dataclass(frozen=True, slots=True)
class SignerSet:
    """All signers that judge a range, by name."""

    principals: Mapping[str, Principal]

    @property
    def ssh(self) -> dict[str, bytes]:
        """All SSH keys by fingerprint."""
        return {key.name: key.blob for one in self.principals.values() for key in one.credentials if key.kind == "ssh"}

    @property
    def gpg(self) -> list[str]:
        """All OpenPGP blocks, sorted."""
        return sorted({key.name for one in self.principals.values() for key in one.credentials if key.kind == "gpg"})

    def of(self, names: Iterable[str], now: datetime) -> tuple[list[Principal], str]:
        """Return whose keys these are and count at a time; where none does, why not."""
        wanted = set(names)
        found = [(one, key) for one in self.principals.values() for key in one.credentials if key.name in wanted]
        valid = {one.name: one for one, key in found if not key.refusal(now)}
        why = next((f"{one.name} signed it with {key.refusal(now)}" for one, key in found), "") if not valid else ""
        return [valid[name] for name in sorted(valid)], why


def signer_set(documents: Iterable[Document]) -> SignerSet:
    """Return the signers among documents; keys that can't be read are left out."""
    found: dict[str, Principal] = {}
    for document in documents:
        if document.kind == "Signer" and document.name is not None:
            one = principal(document)
            found.setdefault(one.name, one)
    return SignerSet(found)


def principal(document: Document) -> Principal:
    """Return a Signer manifest as a principal."""
    name, spec = document.name, document.spec
    tenant = name.tenant if name is not None else ""
    own = name.name if name is not None else ""
    role = spec.get("role", "person")
    return Principal(
        name=f"{tenant}/{own}" if tenant else own,
        tenant=tenant,
        role=role if role in ("person", "bot", "forge") else "forge",
        owner=spec.get("policyOwner") is True and not tenant and role == "person",
        credentials=tuple(one for key in _mappings(spec.get("keys")) for one in _credential(key)),
        grants=tuple(_grant(one) for one in _mappings(spec.get("may"))),
        document=document,
    )


def _grant(stated: Mapping[str, Any]) -> Grant:
    kinds = stated.get("kinds")
    paths = tuple(path for path in stated.get("paths", ()) if isinstance(path, str))
    return Grant(paths=paths, kinds=frozenset(kinds) if isinstance(kinds, list) else None)


def _credential(stated: Mapping[str, Any]) -> Iterable[Credential]:
    start, end = (instant(stated.get(name)) for name in ("from", "until"))
    if isinstance(stated.get("gpg"), str):
        yield Credential(name=stated["gpg"], kind="gpg", start=start, end=end)
    elif isinstance(stated.get("ssh"), str):
        try:
            blob = ssh_blob(stated["ssh"])
        except MalformedError:
            return
        yield Credential(name=fingerprint(blob), kind="ssh", blob=blob, start=start, end=end)


def _mappings(stated: object) -> list[Mapping[str, Any]]:
    return [one for one in stated if isinstance(one, dict)] if isinstance(stated, list) else []
