"""Which operator asks, by the bearer token of the request: `ordainop1.<id>.<secret>`, of the registry, or the local one of this start.

A token is looked up at each request, so one that was revoked or ran out is refused at the next. Why one is refused is told to whoever
holds it: they have its secret. What cannot be known (no such token, another secret) is said in the same words and the same time.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from agent.protocol.enrolment import SECRET_LENGTH
from agent.protocol.errors import RefusedError
from reconciler.control.identity import local
from reconciler.control.identity.local import PREFIX
from reconciler.control.refusal import Denied
from reconciler.control.registry import operators
from reconciler.control.registry.registry import Registry

_TOKEN = re.compile(rf"{PREFIX}\.(?P<id>[a-z0-9]{{1,32}})\.(?P<secret>[A-Za-z0-9_-]{{{SECRET_LENGTH}}})")
_SCHEME = "bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who asks: `subject` and `groups` are what roles name, `actions` and `tenants` what the token is narrowed to (empty: not at all).

    `token` is the id of what they ask by, `expires_at` None for the local token, which lasts as long as the process.
    """

    subject: str
    shown: str
    token: str
    kind: Literal["token", "session", "local"]
    groups: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    expires_at: datetime | None = None


class RejectedError(Denied):
    """A bearer token that was refused; `token` is its id, "" where there was none that could be read."""

    def __init__(self, message: str, *, token: str = "") -> None:
        super().__init__("unauthenticated", message)
        self.token = token


class Bearers:
    """Knows operators by their tokens; one for a process."""

    def __init__(
        self, registry: Registry, *, own: local.LocalToken | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """`own` is the token for commands on this machine."""
        self._registry, self._own, self._now = registry, own, now

    async def identify(self, authorization: str | None) -> Operator:
        """Return who asks, by the request's `Authorization`.

        Raises:
            RejectedError: no token, none that is known, or one that expired or is revoked.
        """
        id_, secret = _parts(authorization)
        if id_ == local.SUBJECT:
            return self._local(secret)
        try:
            token, owner = await self._registry.ask(operators.find, id_, secret, now=self._now())
        except RefusedError as error:
            raise RejectedError(str(error), token=id_) from error
        await self._note_use(token)
        scope = token.scope
        return Operator(
            subject=owner.subject,
            shown=owner.shown,
            token=token.id,
            kind=token.kind,
            groups=owner.groups,
            actions=tuple(scope.get("actions", ())),
            tenants=tuple(scope.get("tenants", ())),
            expires_at=token.expires_at,
        )

    def _local(self, secret: str) -> Operator:
        if self._own is None or not self._own.matches(secret):
            message = "this is the local token of another start of ordain serve; name the state directory of the one that runs"
            raise RejectedError(message, token=local.SUBJECT)
        return Operator(subject=local.SUBJECT, shown="the local token", token=local.SUBJECT, kind="local")

    async def _note_use(self, token: operators.OperatorToken) -> None:
        now = self._now()
        if token.used_at is None or now - token.used_at > operators.USED_STEP:
            await self._registry.run(operators.note_use, token, now=now)


def text(id_: str, secret: str) -> str:
    """Return a token as people and programs pass it on."""
    return f"{PREFIX}.{id_}.{secret}"


def _parts(authorization: str | None) -> tuple[str, str]:
    if not authorization or not authorization.lower().startswith(_SCHEME):
        message = "this needs an operator's token (Authorization: Bearer …): sign in with ordain login"
        raise RejectedError(message)
    found = _TOKEN.fullmatch(authorization[len(_SCHEME) :].strip())
    if found is None:
        message = f"that is no operator's token: one begins with {PREFIX}. and has three parts; sign in with ordain login"
        raise RejectedError(message)
    return found["id"], found["secret"]
