"""Asking OPA for permission. Default deny: a policy without an answer, an OPA that fails or is slow, an odd answer, each is a no.

Decisions are pure: the same question under the same rules has the same answer, so answers are remembered. What is told of the time is
the minute (`now`), for rules about working hours. A repository's own rules come by digest from a tenant's verified controls, and have
an OPA of their own each, so a repository whose rules don't even start can't keep another's from being asked.
"""

import asyncio
import logging
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from agent.protocol.errors import OrdainError
from agent.protocol.state import Struct
from reconciler.opa.bundle import archive
from reconciler.opa.client import TroubleError
from reconciler.opa.server import OpaServer
from reconciler.publication.times import stamp
from reconciler.resources import directory

ROUTER = "ordain.permit"
SECONDS = 2.0
"""The longest that OPA may take over a question; one takes a millisecond."""
REMEMBERED = 4096
"""Answers: an operator's console asks some ten different questions a minute."""
REVISIONS = 4
"""OPAs at the same time, one for each set of a repository's own rules: there is one, and a second while a change of it spreads."""
START_AGAIN = 5.0
"""Seconds after which an OPA that did not come up is started anew."""
MEMORY = 256 * 1024 * 1024
"""Bytes that such an OPA may hold: it has some twenty policies and holds 50 MB."""

_log = logging.getLogger(__name__)


class Decision(Struct):
    """What a policy decided: whether it is allowed, in words why not, and for lists `all` or which `fleets` may be seen.

    `detail` is what else a policy says. `failed` says that nothing was decided, since OPA did not: asking again may help.
    """

    allow: bool
    why: str = ""
    all: bool = False
    fleets: list[str] = []
    detail: dict[str, Any] = {}
    failed: bool = False


@dataclass(slots=True)
class _Serving:
    """An OPA with one set of rules, or why there is none; `ended` is when it was found that it does not come up."""

    server: OpaServer | None
    why: str = ""
    ended: float = math.inf


class Authz:
    """Who asks for permission. Safe to use from several threads; `counts` is how often, by policy and outcome, for metrics."""

    def __init__(
        self,
        opa: Path,
        *,
        rules: Callable[[str], Mapping[str, str]] = lambda digest: {},  # noqa: ARG005
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`rules` returns a repository's own rules by their digest (`publication.operator_rules.load`)."""
        self.counts: Counter[tuple[str, str]] = Counter()
        self._opa, self._rules, self._now = opa, rules, now
        self._lock = threading.Lock()
        self._serving: OrderedDict[str, _Serving] = OrderedDict()
        self._answers: OrderedDict[bytes, Decision] = OrderedDict()

    def __enter__(self) -> Self:
        """Start OPA in the background, with ordain's own policies: the first question waits for it."""
        self._server("")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop OPA."""
        with self._lock:
            serving, self._serving = list(self._serving.values()), OrderedDict()
        for one in serving:
            _stop(one)

    async def asked(self, about: str, question: Mapping[str, Any], *, rules: str = "") -> Decision:
        """`ask`, for asyncio: known answers at once, others in a thread."""
        if self._known(_key(about, question, rules, self._minute())) is not None:
            return self.ask(about, question, rules=rules)
        return await asyncio.to_thread(self.ask, about, question, rules=rules)

    def ask(self, about: str, question: Mapping[str, Any], *, rules: str = "") -> Decision:
        """Return what the policy `about` (`roles`, `enrolment`: a package `ordain.authz.<about>`) decides of a question.

        `question` becomes OPA's input, with `about` and `now` (RFC 3339, whole minutes) added. `rules` is the digest of the repository's
        own rules that the tenant's verified controls name (`Controls.authz`). Never raises: what goes wrong is a `Decision` that allows
        nothing and has `failed` set.
        """
        minute = self._minute()
        key = _key(about, question, rules, minute)
        decision = self._known(key)
        if decision is None:
            decision = self._decide({**question, "about": about, "now": minute}, rules)
            self._remember(key, decision)
        self.counts[about, "failed" if decision.failed else "allowed" if decision.allow else "denied"] += 1
        return decision

    def _decide(self, question: Mapping[str, Any], rules: str) -> Decision:
        serving = self._server(rules)
        if serving.server is None:
            return _failure(serving.why)
        try:
            answer = serving.server.query(ROUTER, "answer", question, seconds=SECONDS)
            return msgspec.convert(answer, Decision)
        except msgspec.ValidationError as error:
            return _failure(f"the policy's answer is not one: {error}")
        except TroubleError as error:
            return _failure(str(error))
        except OrdainError as error:
            serving.ended = min(serving.ended, time.monotonic())
            return _failure(str(error))

    def _minute(self) -> str:
        return stamp(self._now().replace(second=0, microsecond=0))

    def _known(self, key: bytes) -> Decision | None:
        with self._lock:
            return self._answers.get(key)

    def _remember(self, key: bytes, decision: Decision) -> None:
        if decision.failed:
            return
        with self._lock:
            self._answers[key] = decision
            while len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)

    def _server(self, digest: str) -> _Serving:
        """Return the OPA for a set of rules, started where it is new; the one that was asked longest ago goes where there are too many."""
        with self._lock:
            found = self._serving.get(digest)
            if found is not None and time.monotonic() - found.ended < START_AGAIN:
                self._serving.move_to_end(digest)
                return found
            self._serving.pop(digest, None)  # one that ended holds nothing
        made = self._start(digest)
        if made.server is None:
            return made  # its rules may be there at the next question
        with self._lock:
            standing = self._serving.setdefault(digest, made)
            unneeded = [made] if standing is not made else []
            while len(self._serving) > REVISIONS:
                unneeded.append(self._serving.popitem(last=False)[1])
        for one in unneeded:
            _stop(one)
        return standing

    def _start(self, digest: str) -> _Serving:
        try:
            own = self._rules(digest) if digest else {}
        except OrdainError as error:
            return _Serving(None, str(error))
        server = OpaServer(self._opa, bundle(own), memory=MEMORY, router=ROUTER)
        server.begin()
        return _Serving(server)


def bundle(own: Mapping[str, str]) -> bytes:
    """Return ordain's own policies about operators and hosts, and a repository's beside them, as OPA loads them."""
    root = directory("policies") / "authz"
    contents = {".manifest": msgspec.json.encode({"roots": ["ordain"], "rego_version": 1})}
    contents |= {f"authz/{path.name}": path.read_bytes() for path in sorted(root.glob("*.rego")) if not path.name.endswith("_test.rego")}
    contents |= {f"custom/{name}.rego": text.encode() for name, text in sorted(own.items())}
    return archive(contents)


def _failure(why: str) -> Decision:
    _log.error("nothing is allowed, since the policy could not be asked: %s", why)
    return Decision(allow=False, why="what is allowed could not be decided", failed=True)


def _key(about: str, question: Mapping[str, Any], rules: str, minute: str) -> bytes:
    return msgspec.json.encode([about, rules, minute, question], order="deterministic")  # a platform's claims may hold floats


def _stop(serving: _Serving) -> None:
    if serving.server is not None:
        serving.server.__exit__(None, None, None)
