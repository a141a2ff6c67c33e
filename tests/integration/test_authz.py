"""Asking for permission: no answer is a no, a repository's own rules can only refuse, and known answers cost nothing."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.errors import RetryError
from reconciler.control.authz import asking
from reconciler.control.authz.asking import REVISIONS, Authz

pytestmark = pytest.mark.needs("opa")

NIGHT = "a1" * 32
BROKEN = "b2" * 32
GONE = "c3" * 32
CURIOUS = "d4" * 32
RULES: Mapping[str, Mapping[str, str]] = {
    NIGHT: {"night": 'package ordain.authz.custom.night\n\ndeny contains "not at night" if substring(input.now, 11, 2) == "03"\n'},
    BROKEN: {"broken": "package ordain.authz.custom.broken\n\ndeny contains nonsense\n"},
    CURIOUS: {"odd": 'package ordain.authz.custom.odd\n\ndeny contains "odd" if to_number(input.action) > 1\n'},
}
DAY, THREE = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC), datetime(2026, 11, 23, 3, 0, 30, tzinfo=UTC)


def question(**changed: Any) -> dict[str, Any]:
    """Return a question about somebody who runs the installation: ordain's own policy allows it."""
    operator = {"names": ["local"], "groups": [], "scope": {"actions": [], "tenants": []}}
    asked: dict[str, Any] = {"operator": operator, "action": "agents.read", "tenant": "shop", "fleets": None, "asked_by": "", "roles": []}
    return {**asked, "admins": ["local"], **changed}


def rules(digest: str) -> Mapping[str, str]:
    if digest not in RULES:
        message = "they are not there"
        raise RetryError(message)
    return RULES[digest]


class Clock:
    """A clock that a test sets."""

    at = DAY

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture(scope="module")
def opa_path() -> Path:
    from reconciler.opa.program import find_opa  # noqa: PLC0415 - only where OPA is there, see pytestmark

    return find_opa(None)


@pytest.fixture(scope="module")
def authz(opa_path: Path) -> Iterator[Authz]:
    with Authz(opa_path, rules=rules, now=Clock()) as made:
        yield made


@pytest.fixture(autouse=True)
def noon() -> Iterator[None]:
    yield
    Clock.at = DAY


def test_a_policy_that_does_not_exist_allows_nothing(authz: Authz) -> None:
    found = authz.ask("weather", question())
    assert (found.allow, found.failed) == (False, True)


def test_an_answer_is_known_until_the_minute_or_the_question_changes(authz: Authz, monkeypatch: pytest.MonkeyPatch) -> None:
    first = authz.ask("roles", question())
    assert first.allow
    monkeypatch.setattr(authz, "_decide", lambda *_: pytest.fail("asked again"))
    assert authz.ask("roles", question()) is first
    assert asyncio.run(authz.asked("roles", question())) is first
    monkeypatch.undo()
    Clock.at = THREE
    assert authz.ask("roles", question()) is not first


def test_own_rules_of_a_repository_refuse_what_was_allowed_and_allow_nothing(authz: Authz) -> None:
    Clock.at = THREE
    refused = authz.ask("roles", question(), rules=NIGHT)
    assert (refused.allow, refused.why) == (False, "not at night")
    assert authz.ask("roles", question()).allow
    Clock.at = DAY
    assert authz.ask("roles", question(), rules=NIGHT).allow
    assert not authz.ask("roles", question(admins=[]), rules=NIGHT).allow


@pytest.mark.parametrize("digest", [BROKEN, GONE, CURIOUS])
def test_own_rules_that_can_not_be_asked_allow_nothing_and_hold_up_no_other(authz: Authz, digest: str) -> None:
    found = authz.ask("roles", question(), rules=digest)
    assert (found.allow, found.failed) == (False, True)
    assert authz.ask("roles", question()).allow


def test_what_failed_is_asked_again_and_not_remembered(authz: Authz, monkeypatch: pytest.MonkeyPatch) -> None:
    assert authz.ask("roles", question(), rules=GONE).failed
    with monkeypatch.context() as patched:
        patched.setattr(authz, "_rules", lambda _: {})
        assert authz.ask("roles", question(), rules=GONE).allow


def test_rules_that_changed_often_leave_few_opas(opa_path: Path) -> None:
    with Authz(opa_path, rules=lambda _: {}, now=Clock()) as made:
        for number in range(REVISIONS + 2):
            assert made.ask("roles", question(), rules=f"{number:064x}").allow
        assert len(made._serving) == REVISIONS  # noqa: SLF001 - processes are not told apart from outside


def test_an_opa_that_did_not_come_up_is_started_anew(opa_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "START_AGAIN", 0.0)
    program = tmp_path / "opa"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    with Authz(program, now=Clock()) as made:
        assert made.ask("roles", question()).failed
        program.write_text(f'#!/bin/sh\nexec "{opa_path}" "$@"\n')
        assert made.ask("roles", question()).allow


def test_each_decision_is_counted(opa_path: Path) -> None:
    with Authz(opa_path, rules=rules, now=Clock()) as made:
        for one in (question(), question(), question(admins=[])):
            made.ask("roles", one)
        made.ask("weather", question())
        assert made.counts == {("roles", "allowed"): 2, ("roles", "denied"): 1, ("weather", "failed"): 1}
