"""Whether a host may join is decided by Rego: `policies/authz/enrolment.rego`, and the repository's own rules, which can only refuse."""

from typing import Any, Protocol

import msgspec

from agent.protocol.state import Struct
from reconciler.control.authz.asking import Decision
from reconciler.control.refusal import Denied
from reconciler.publication.controls import Platform

ABOUT = "enrolment"


class Question(Struct, omit_defaults=False):
    """What is asked; see the policy for what each field means."""

    tenant: str
    agent: str
    pool: str
    known: bool
    standing: str
    reimage: bool
    how: str
    address: str
    facts: dict[str, Any]
    labels: dict[str, str] = {}
    fleets: list[str] = []
    platform: Platform | None = None
    claims: dict[str, Any] = {}


class Asks(Protocol):
    """Whoever asks OPA: `authz.asking.Authz`."""

    async def asked(self, about: str, question: dict[str, Any], *, rules: str = "") -> Decision:
        """Return what the policy decides."""
        ...


class Policy:
    """Asks whether a host may join; without an OPA to ask, none may."""

    def __init__(self, authz: Asks | None = None) -> None:
        """Keep whom to ask."""
        self._authz = authz

    async def require(self, question: Question, *, rules: str) -> None:
        """Raise `Denied` unless the policy lets a host join; `rules` is the digest of the repository's own ones."""
        if self._authz is None:
            message = "no policy can be asked here, so no host may join"
            raise Denied("refused", message)
        decision = await self._authz.asked(ABOUT, _plain(question), rules=rules)
        if decision.failed:
            message = "whether this host may join can't be decided now; ask again"
            raise Denied("unavailable", message, retry_after=5)
        if not decision.allow:
            raise Denied(_code(question), decision.why or "the policy does not let this host join")


def _plain(question: Question) -> dict[str, Any]:
    """Return a question with all its fields, those too that say nothing: what is absent is undefined to a policy."""
    platform = question.platform
    return {**msgspec.structs.asdict(question), "platform": msgspec.structs.asdict(platform) if platform else None}


def _code(question: Question) -> Any:
    if not question.known:
        return "unknown"
    return {"enrolled": "refused" if question.reimage else "conflict", "quarantined": "quarantined", "revoked": "revoked"}.get(
        question.standing, "refused"
    )
