"""The route for forges: `POST /v1/hooks/{github,gitlab,gitea,generic}`, which turns a signed push into a hint to fetch.

    202 {"result": "fetching soon"}      a push to a branch that counts
    200 {"result": "nothing to fetch"}   signed, and about something else: a ping, a tag, another branch
    400, 401, 408, 409, 413              not JSON, not signed, too slow, seen before, too large
    404                                  no secret is set for this forge, in the settings or by an operator

A storm of webhooks costs a hint a second at most; the pipeline, which reads hints when it likes, spreads its fetches further.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

from aiohttp import web

from agent.protocol import codec
from agent.protocol.errors import MalformedError, OrdainError, RefusedError
from reconciler.control.hooks import BRANCH, CHECKS, Seen, pushed_branch
from reconciler.control.registry import hooks
from reconciler.control.registry.registry import Registry
from reconciler.printable import printable
from reconciler.publication.hints import write_hint
from reconciler.publication.secret_files import SecretFile
from reconciler.publication.store import Store
from reconciler.publication.times import stamp

BODY_LIMIT = 4 * 1024 * 1024
"""Bytes of a webhook: a push of 2,000 commits, the most that a forge lists, takes about half of it."""
BODY_SECONDS = 10.0
"""In which a webhook must have arrived."""
BODIES = 8
"""Webhooks that are read at the same time; others wait their turn."""
HINT_EVERY = 1.0
"""Seconds between two hints."""
FRESH = 1.0
"""Seconds for which the webhooks that operators made are not read again, however many deliveries come."""
SAY_EVERY = 60.0
"""Seconds between two warnings of one forge and status: anybody may send what is refused, and no log should grow by that."""

_log = logging.getLogger(__name__)


class Hooks:
    """What becomes of webhooks; `counts` says how often, by forge and result, for metrics."""

    def __init__(self, store: Store, secrets: Mapping[str, SecretFile], *, branch: str = "", registry: Registry | None = None) -> None:
        """`secrets` by forge, beside which those in the `registry` count; a push to another branch than `branch` is no news."""
        self.counts: Counter[tuple[str, str]] = Counter()
        self._store = store
        self._secrets = secrets
        self._registry = registry
        self._made: tuple[float, list[hooks.Hook]] = (-FRESH, [])
        """The webhooks that operators made, and when they were read."""
        self._branch = branch
        self._seen = Seen()
        self._said: dict[tuple[str, int], tuple[float, int]] = {}
        """When a warning of a forge and status was logged last, and how many there had been by then."""
        self._bodies = asyncio.Semaphore(BODIES)
        self._news: tuple[str, str] | None = None
        self._writing: asyncio.Task[None] | None = None

    def add_to(self, app: web.Application) -> None:
        """Add the route to an application."""
        app.router.add_post("/v1/hooks/{forge}", self._receive)
        app.cleanup_ctx.append(self._end)

    async def _receive(self, request: web.Request) -> web.Response:
        forge = request.match_info["forge"]
        try:
            secrets = await self._secrets_of(forge) if forge in CHECKS else []
            if not secrets:
                raise web.HTTPNotFound
            status, result = await self._take(forge, secrets, request)
        except MalformedError as error:
            status, result = 400, str(error)
        except RefusedError as error:
            status, result = 401, str(error)
        self.counts[forge, str(status)] += 1
        self._say(forge, status, printable(result))
        return web.Response(body=codec.canonical({"result": result}), status=status, content_type="application/json")

    def _say(self, forge: str, status: int, result: str) -> None:
        """Log an answer; of refusals of one forge and status the first, then one every SAY_EVERY with how many there were since."""
        if status < 300:  # noqa: PLR2004 - what HTTP calls success
            _log.debug("webhook of %s answered %d: %s", forge, status, result)
            return
        now, count = time.monotonic(), self.counts[forge, str(status)]
        at, before = self._said.get((forge, status), (-SAY_EVERY, 0))
        if now - at < SAY_EVERY:
            return
        self._said[forge, status] = (now, count)
        since = f" ({count - before} such since the last line)" if count - before > 1 else ""
        _log.warning("webhook of %s answered %d: %s%s", forge, status, result, since)

    async def _secrets_of(self, forge: str) -> list[bytes]:
        """Return the secrets of a forge: of the settings, and those that operators made."""
        found = [await asyncio.to_thread(self._secrets[forge].read)] if forge in self._secrets else []
        if self._registry is not None and time.monotonic() - self._made[0] >= FRESH:
            self._made = (time.monotonic(), self._made[1])
            try:
                self._made = (time.monotonic(), await self._registry.ask(hooks.listed))
            except OrdainError as error:
                _log.warning("webhooks that operators made can't be read, what was known counts: %s", error)
        return [*found, *(secret for one in self._made[1] if one.forge == forge for secret in one.secrets(time.time()))]

    async def _take(self, forge: str, secrets: Sequence[bytes], request: web.Request) -> tuple[int, str]:
        async with self._bodies:
            body = await _body(request)
            if isinstance(body, tuple):
                return body
            delivery = _checked(forge, request.headers, body, secrets)
            branch = pushed_branch(body, forge)
        if not self._seen.first_time(forge, delivery):
            return 409, "this webhook was received before"
        if branch is None or (self._branch and branch and branch != BRANCH + self._branch):
            return 200, "nothing to fetch"
        self._news = (forge, branch)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return 202, "fetching soon"

    async def _write(self) -> None:
        """Write hints while there is news, the newest each time."""
        while self._news:
            (forge, ref), self._news = self._news, None
            try:
                await asyncio.to_thread(write_hint, self._store, forge, ref, stamp(datetime.now(UTC)))
            except OrdainError as error:
                _log.warning("no hint to fetch was left: %s; the next poll finds the push", error)
            await asyncio.sleep(HINT_EVERY)

    async def _end(self, app: web.Application) -> AsyncIterator[None]:
        del app
        yield
        if self._writing is not None:
            self._writing.cancel()


def _checked(forge: str, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> str:
    """Return what makes a delivery one of a kind, by whichever secret signed it; raise `RefusedError` where none did."""
    refused = RefusedError(f"there is no secret of {forge}")
    for secret in secrets:
        try:
            return CHECKS[forge](headers, body, secret, int(time.time()))
        except RefusedError as error:
            refused = error
    raise refused


async def _body(request: web.Request) -> bytes | tuple[int, str]:
    """Return the body, or the answer to one that is too large or too slow."""
    too_large = (413, f"more than {BODY_LIMIT} bytes")
    if (request.content_length or 0) > BODY_LIMIT:
        return too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.content.iter_any():
                body += part
                if len(body) > BODY_LIMIT:
                    return too_large
    except TimeoutError:
        return 408, f"not here within {BODY_SECONDS:.0f} s"
    return bytes(body)
