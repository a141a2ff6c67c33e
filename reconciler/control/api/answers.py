"""Answers: canonical JSON for what was asked, and `agent.protocol.enrolment.Refusal` for everything that is refused.

The status follows from the code (`STATUS`), so that no handler thinks of numbers. Errors that are no refusals become some: bytes from
outside that are not what they should be are `malformed`, what can't be done now is `unavailable`; the log says what was wrong.
"""

import logging
from datetime import UTC, datetime

from aiohttp import web

from agent.protocol import codec
from agent.protocol.enrolment import Refusal
from agent.protocol.errors import InputError, MalformedError, OrdainError, RefusedError
from agent.protocol.state import Struct
from reconciler.control.refusal import Code, Denied
from reconciler.publication.times import stamp

STATUS: dict[Code, int] = {
    "malformed": 400,
    "unauthenticated": 401,
    "refused": 403,
    "revoked": 403,
    "quarantined": 403,
    "unknown": 404,
    "conflict": 409,
    "decommissioned": 410,
    "too-much": 413,
    "slow-down": 429,
    "unavailable": 503,
}
RETRY_AFTER = 5
"""Seconds after which to ask again where a part of ours does not answer now."""

_log = logging.getLogger(__name__)


def answer(value: Struct | dict[str, object], *, status: int = 200) -> web.Response:
    """Return an answer in canonical JSON, never cached."""
    return web.Response(body=codec.canonical(value), status=status, content_type="application/json", headers={"Cache-Control": "no-store"})


def refuse(denied: Denied) -> web.Response:
    """Return the answer to what was refused."""
    body = Refusal(code=denied.code, error=str(denied), server_time=stamp(datetime.now(UTC)), retry_after=denied.retry_after)
    response = answer(body, status=STATUS[denied.code])
    if denied.retry_after:
        response.headers["Retry-After"] = str(denied.retry_after)
    return response


def as_refusal(error: OrdainError, *, where: str) -> Denied:
    """Return any error of ours as the refusal that the asker sees; `where` is the request's path, for the log."""
    if isinstance(error, Denied):
        return error
    if isinstance(error, MalformedError | InputError):
        return Denied("malformed", str(error))
    if isinstance(error, RefusedError):
        return Denied("refused", str(error))
    _log.warning("%s: %s", where, error)
    return Denied("unavailable", "not available now; ask again", retry_after=RETRY_AFTER)
