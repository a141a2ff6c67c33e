"""A repository's own rules about operators and enrolment (`policies/authz/`), on their way from git to `serve`.

The pipeline checks them with OPA and writes them to `layout.authz(digest)`; each tenant's controls name that digest, so they are signed
by way of them. The digest is of canonical JSON and never of an archive: compressed bytes are no identity.

Each file is a package `ordain.authz.custom.<name>` that says `deny contains "why" if …`. Whoever decides asks them after ordain's own
policy has allowed something, and refuses where any of them says why not. So they can only deny more, and never allow anything.
"""

from collections.abc import Mapping

from agent.protocol import codec
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.state import Struct
from reconciler.publication import layout
from reconciler.publication.store import Store

FORMAT = 1
LIMIT = 1024 * 1024
"""Bytes of all files together: OPA compiles them at each start of `serve`; people write some thousand bytes."""


class OperatorRules(Struct):
    """`approved/_authz/<digest>`: Rego by name; the name is the last part of its package (`night` of `ordain.authz.custom.night`)."""

    format: int
    rules: dict[str, str]


def pack(rules: Mapping[str, str]) -> tuple[str, bytes]:
    """Return the digest and the bytes of rules by name; an empty digest and no bytes where there are none."""
    if not rules:
        return "", b""
    data = codec.canonical(OperatorRules(format=FORMAT, rules=dict(rules)))
    return codec.sha256(data), data


def load(store: Store, digest: str) -> Mapping[str, str]:
    """Return the rules that controls name, by name; none for an empty digest. They were checked before they were signed.

    Raises:
        MalformedError: not rules, or a digest that is none.
        RefusedError: other bytes than the digest's, or a format of a later version.
        RetryError: they are not there (yet), or the store can't be read.
    """
    if not digest:
        return {}
    key = layout.authz(digest)
    data = store.get(key)
    if data is None:
        message = f"{key} is not in the store; `ordain reconcile` writes it before it names it: is the store a whole copy?"
        raise RetryError(message)
    if codec.sha256(data) != digest:
        message = f"{key}: other bytes than its digest says; restore it, or remove it and restart `ordain reconcile`"
        raise RefusedError(message)
    found = codec.decode(data, OperatorRules, what=key, limit=LIMIT)
    if found.format != FORMAT:
        message = f"{key}: format {found.format} is of a later version of ordain; upgrade this one"
        raise RefusedError(message)
    return found.rules
