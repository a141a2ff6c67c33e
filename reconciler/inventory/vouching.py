"""By whose word a host asked to join that git does not know, so that its manifest lets in whom that platform called the same.

The server verified the token; what the manifest will ask for is its subject, and the audience that manifests of the tenant use with
that issuer already.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reconciler.pipeline.compile.index import MEMBER, Index
from reconciler.pipeline.compile.manifest import mapping, sequence, text

PREFIX = "platform:"
"""How the registry says that somebody came with a platform's token: `platform:<issuer>#<subject>`."""
CUT = 500
"""Characters at which it is cut: whom a part of a subject means, nobody knows."""
WILD = "*"
"""Of what a manifest asks for, any ending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """A platform's word for one host, as `enrolment.platforms` has it."""

    issuer: str
    audience: str
    subject: str


def vouched(index: Index, how: str) -> Vouched | None:
    """Return by whose word a host asked; None where it had a token of ordain's, or its manifest can't say so."""
    issuer, mark, subject = how.removeprefix(PREFIX).partition("#")
    usable = how.startswith(PREFIX) and mark and subject and len(how) < CUT and not subject.endswith(WILD) and subject.isprintable()
    audience = next((text(one.get("audience")) for one in _platforms(index) if one.get("issuer") == issuer), "")
    return Vouched(issuer=issuer, audience=audience, subject=subject) if usable and audience else None


def _platforms(index: Index) -> Iterator[dict[str, Any]]:
    for document in index.documents(MEMBER):
        enrolment = mapping(document.spec.get("enrolment"))
        yield from (one for one in sequence(enrolment.get("platforms")) if isinstance(one, dict))
