"""A new rule as its author meets it first: it compiles, its tests and examples pass, and lint finds nothing to say.

What it finds is a stand-in, one for each scope, to be replaced by what the rule is about. It starts at `audit`: a rule that
nobody has tried yet refuses nothing.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from string import Template

from agent.protocol.errors import InputError
from reconciler.pipeline.policy import stand_ins
from reconciler.pipeline.policy.library import CONFTEST, RESERVED_TENANTS, TENANTS, VENDORED, Source
from reconciler.pipeline.policy.metadata import Scope, rule_id
from reconciler.pipeline.policy.placement import LIBRARY_CATEGORY, Package, declared

_WORD = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_TENANT = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
LENGTH_LIMIT = 63
"""Characters of one part of an id, as `ordain.yaml` takes them."""
KEYWORDS = frozenset({"as", "contains", "data", "default", "else", "every", "false", "if", "import", "in", "input"}) | frozenset(
    {"not", "null", "package", "some", "true", "with"}
)
"""Words that Rego keeps for itself: no package can be called so."""
PAGE = "README.md"
"""The page of a rule, beside it: a forge shows it to whoever opens the directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A rule to be: its category and name, the tenant that it is for ("" for all), what it is asked about; `kind` counts for objects."""

    category: str
    name: str
    tenant: str = ""
    scope: Scope = "object"
    kind: str = "Component"

    @property
    def package(self) -> Package:
        """Return the package, which decides about the id."""
        owner = ("tenants", self.tenant) if self.tenant else ("custom",)
        return tuple(part.replace("-", "_") for part in ("ordain", *owner, self.category, self.name))

    @property
    def id(self) -> str:
        """Return what the rule will be called."""
        return rule_id(self.package)

    @property
    def directory(self) -> str:
        """Return where it will lie, below the policies."""
        return "/".join([*([TENANTS, self.tenant] if self.tenant else []), self.category, self.name])


def wanted(name: str, *, tenant: str = "", scope: Scope = "object", kind: str = "Component") -> Wanted:
    """Return the rule that a person names as `category/rule`; `custom/` before it is taken as said.

    Raises:
        InputError: no rule can be called so, or have that scope.
    """
    parts = name.removeprefix("custom/").split("/")
    if len(parts) != 2 or not all(_WORD.fullmatch(part) and len(part) <= LENGTH_LIMIT for part in parts):  # noqa: PLR2004 - category, rule
        message = f"{name[:80]!r} names no rule; write CATEGORY/RULE in lower-case letters, digits and -, such as files/not-in-tmp"
        raise InputError(message)
    rule = Wanted(category=parts[0], name=parts[1], tenant=tenant, scope=scope, kind=kind)
    _require_free_words(rule)
    return rule


def _require_free_words(rule: Wanted) -> None:
    reserved = {LIBRARY_CATEGORY} if rule.tenant else {LIBRARY_CATEGORY, VENDORED, TENANTS, CONFTEST}
    if rule.category in reserved or KEYWORDS & {rule.category, rule.name}:
        taken = rule.category if rule.category in reserved | KEYWORDS else rule.name
        message = f"{taken!r} has a meaning of its own; choose another word for it"
        raise InputError(message)
    if rule.tenant and (not _TENANT.fullmatch(rule.tenant) or rule.tenant in RESERVED_TENANTS):
        message = f"{rule.tenant[:80]!r} is no name of a tenant; a tenant's rules lie in policies/tenants/<tenant>/"
        raise InputError(message)
    beyond = "scope change" if rule.scope == "change" else "kind Tenant" if rule.scope == "object" and rule.kind == "Tenant" else ""
    if rule.tenant and beyond:
        message = f"a tenant's own rule can't have {beyond}: that is not the tenant's alone; choose another, or make it a rule for all"
        raise InputError(message)


def require_new(rule: Wanted, present: Iterable[Source]) -> None:
    """Raise `InputError` where a file already defines the rule, wherever it lies."""
    for source in present:
        if declared(source) == rule.package:
            message = f"{source.place}: there is a rule {rule.id} already; choose another name, or change that one"
            raise InputError(message)


def files(rule: Wanted) -> Mapping[str, bytes]:
    """Return the files of a new rule by their path in its directory: rule, tests, examples, page."""
    stand_in = stand_ins.of(rule.scope, rule.kind)
    words = {
        "id": rule.id,
        "package": ".".join(rule.package),
        "code": f"{rule.category}/{rule.name}",
        "scope": rule.scope,
        "tenant": rule.tenant or "shop",
        "title": stand_in.title,
        "remedy": stand_in.remedy,
        "asked": stand_in.asked,
    }
    filled = replace(stand_in, **{name: _filled(getattr(stand_in, name), words) for name in ("rule", "test", "fails", "passes")})
    return {
        f"{rule.name}.rego": filled.rule.encode(),
        f"{rule.name}_test.rego": filled.test.encode(),
        "examples/fail-stand-in.yaml": filled.fails.encode(),
        "examples/pass-stand-in.yaml": filled.passes.encode(),
        PAGE: _filled(stand_ins.PAGE, words).encode(),
    }


def _filled(text: str, words: Mapping[str, str]) -> str:
    return Template(text).substitute(words)
