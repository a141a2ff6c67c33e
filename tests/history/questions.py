"""What users ask about the history, and the answers that were read and kept.

`python -m tests.history.questions [NAME…]` writes the answers anew: read what changed in them before you commit it. `days.txt`, which
takes minutes, is written only where it is named.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.protocol.errors import OrdainError
from reconciler.cli import cli
from reconciler.opa.program import find_opa
from tests.history.installation import DAYS, Installation, installed, lived
from tests.history.story import NOW, Told, told

GOLDEN = Path(__file__).parent.parent / "golden" / "history"


@dataclass(frozen=True, slots=True)
class Question:
    """A command as it is typed, and how it ends. `@mark` stands for a commit, STATE for the reconciler's state, LATER for a day."""

    arguments: tuple[str, ...]
    code: int = 0

    @property
    def machine(self) -> bool:
        """Whether the answer is for a program, so that nothing may stand around it."""
        return any(form in self.arguments for form in ("json", "sarif", "html", "csv", "junit"))


def asked(line: str, *more: str, code: int = 0) -> Question:
    """Return a question from a line of words, and arguments that hold spaces."""
    return Question((*line.split(), *more), code)


_PLAN = f"plan --head autumn-sale --at {NOW}"
_CHECK = f"check --base main --rev everything --at {NOW}"
_COMPLIANCE = f"report compliance --at {NOW} --points 4"
_WAIVE = ("--reason", "it has no rack yet", "--owner", "cleo@example.com", "--until", "LATER", "--dry-run")
_FORGE = "forge report PLAN --dry-run --forge github --repository northgate/fleets --pull-request 7 --commit"
QUESTIONS: dict[str, Question] = {
    # A pull request, in every form.
    "plan-sale.txt": asked(_PLAN),
    "plan-sale.md": asked(f"{_PLAN} --format markdown"),
    "plan-sale.html": asked(f"{_PLAN} --format html"),
    "plan-sale.json": asked(f"{_PLAN} --format json"),
    "plan-everything-wrong.txt": asked(f"plan --head everything --at {NOW}", code=1),
    "plan-loosened.txt": asked(f"plan --head loosened --at {NOW}", code=1),
    "plan-tightened.txt": asked(f"plan --head tighter --at {NOW}"),
    # Days of the past.
    "plan-deleted.txt": asked("plan --base @deleted~1 --head @relabelled --at 2026-07-22T12:00:00Z"),
    "plan-everybody.md": asked("plan --base @everybody~1 --head @everybody --at 2026-08-01T12:00:00Z --format markdown"),
    "plan-waived.txt": asked("plan --base @waived~1 --head @waived --at 2026-06-30T18:00:00Z"),
    "plan-hidden.txt": asked("plan --base @hidden~1 --head @hidden --at 2026-05-26T18:00:00Z", code=1),
    "check.txt": asked(f"check --at {NOW}", code=1),
    "check.json": asked(f"check --at {NOW} --format json", code=1),
    "check-december.txt": asked("check --rev main --at 2026-12-02", code=1),
    "check-everything-wrong.txt": asked(_CHECK, code=1),
    "check-everything-wrong.sarif": asked(f"{_CHECK} --format sarif", code=1),
    "check-broken-rule.txt": asked("check --base @region-broken~1 --rev @region-broken --at 2026-06-09T18:00:00Z", code=1),
    "check-thief.txt": asked("check --base @thief~1 --rev @thief --at 2026-05-31T18:00:00Z", code=1),
    "check-glass.txt": asked("check --base @glass~2 --rev @glass --at 2026-07-11T17:00:00Z"),
    # Rules.
    "policy-try.txt": asked("policy try not-in-tmp --rev @spooled"),
    "policy-test.txt": asked("policy test . --coverage"),
    "policy-lint.txt": asked("policy lint ."),
    "policy-debug.txt": asked("policy debug hosts/region tenants/games/agents/arena-apac.yaml"),
    "policy-bench.txt": asked("policy bench . --rule hosts/region"),
    "policy-backtest.txt": asked("policy backtest files/not-in-tmp --since 2026-05-01 --incident @in-tmp"),
    "policy-backtest.md": asked("policy backtest hosts/region --since 2026-06-01 --format markdown"),
    "policy-backtest-branch.txt": asked("policy backtest tighter --since 2026-08-18 --rev @after-misplaced"),
    "waive.txt": asked("waive tenants/shop/agents/web-spare.yaml:6", *_WAIVE),
    "waive-nothing-there.txt": asked("waive tenants/shop/agents/web-01.yaml:3", *_WAIVE, code=2),
    # Who, why and since when.
    "signers-list.txt": asked("signers list"),
    "signers-check.txt": asked("signers check @staged"),
    "signers-check-hidden.txt": asked("signers check @hidden --base @hidden~1", code=1),
    "why-line.txt": asked("why shop/web-01:/etc/storefront/app.conf:3 --state STATE"),
    "why-excused.txt": asked("why games/arena-01:/var/lib/arena/replays --state STATE"),
    "why-clone.txt": asked("why edge/gw-cambridge:/etc/bridge/bridge.conf:2"),
    "why-gone.txt": asked("why edge/gw-boston:/etc/motd", code=2),
    "state.txt": asked("state shop/web-04 --at 2026-07-23 --state STATE"),
    "history.txt": asked("history shop/web --state STATE"),
    "audit-show.txt": asked("audit show @profiled --state STATE"),
    "audit-show-note.txt": asked("audit show @deleted"),
    "audit-verify.txt": asked("audit verify --state STATE --repo . --no-replay"),
    # Others who want to know.
    "compliance.md": asked(f"{_COMPLIANCE} --since 2026-09-14 --format markdown"),
    "compliance.html": asked(f"{_COMPLIANCE} --since 2026-10-12 --format html"),
    "compliance.csv": asked(f"{_COMPLIANCE} --since 2026-10-26 --format csv"),
    "forge.txt": asked(_FORGE, "@sale"),
}
"""By the name of the file that keeps the answer."""
SELDOM = frozenset(
    {
        "check-december.txt",
        "compliance.html",
        "plan-everybody.md",
        "plan-tightened.txt",
        "policy-backtest-branch.txt",
        "policy-backtest.md",
        "waive-nothing-there.txt",
    }
)
"""What is asked by `make test-history` alone: dear, or much like what is asked on every run."""


CHANGING = (
    (r"(judged by |judge (?:<code>)?)[0-9a-f]{12,64}", r"\1JUDGE"),
    (r"(repository,northgate,,manifests,.* )[0-9a-f]{64}", r"\1JUDGE"),
    (r"\d+ versions? judged(, \d+ known from before)?", "VERSIONS judged"),
    (r"(by ordain )\S+, OPA [0-9.]+", r"\1VERSION, OPA VERSION"),
    (r"(record approved/\S+ sha256:)[0-9a-f]+", r"\1DIGEST"),
    (r"(?m)^ +[0-9.]+ [um]s( +)(?:[0-9.]+ %)?", r"  TIME\1"),
    (r"Rules that hold everywhere: \d+", "Rules that hold everywhere: MANY"),
    (r"(?m)^\| <code>(?!custom)[a-z-]+/[a-z-]+</code> \| (?:deny|warn|audit).*\| 100 % \| 0 \| 0 \|\n", ""),
    (r"(?m)^rule,(?!custom).*,100,,.*\n", ""),
    (r"(?m)^<tr><td>(?!custom)[a-z-]+/[a-z-]+</td><td>(?:deny|warn|audit).*>100 %<.*\n", ""),
    (r'"ruleIndex": \d+', '"ruleIndex": MANY'),
)
"""What another rule of the library, another version, a warm cache or a faster machine changes: pattern, and what is kept instead."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks in a clone, as a user who stands in it; `later` is a day that waivers may end on."""

    installation: Installation
    later: str

    @property
    def told(self) -> Told:
        """The history."""
        return self.installation.told

    def answer(self, question: Question) -> str:
        """Return what a command says, as it looks on any day in any directory; fail where it ends otherwise than it should."""
        done = CliRunner().invoke(cli, [self._filled(word) for word in question.arguments])
        refused = done.exception if isinstance(done.exception, OrdainError) else None  # as `main` says it
        code, stderr = (refused.exit_code, f"error: {refused}\n") if refused else (done.exit_code, done.stderr)
        assert code == question.code, (question, code, done.output, done.exception)
        if "sarif" in question.arguments:  # without all the rules of the library
            return self._steady(json.dumps(json.loads(done.stdout)["runs"][0]["results"], indent=2, ensure_ascii=False) + "\n")
        if question.machine:
            return self._steady(done.stdout)
        told = f"$ ordain {' '.join(_quoted(word) for word in question.arguments)}\n{done.stdout}"
        told += f"--- stderr\n{stderr}" if stderr else ""
        return self._steady(told + (f"--- exit code {code}\n" if code else ""))

    def _filled(self, word: str) -> str:
        if word.startswith("@"):
            mark, _, rest = word[1:].partition("~")
            return self.told.marks[mark] + (f"~{rest}" if rest else "")
        known = {"STATE": str(self.installation.made.state), "PLAN": str(GOLDEN / "plan-sale.json"), "LATER": self.later}
        return known.get(word, word)

    def _steady(self, text: str) -> str:
        """Return a text without what another machine, another day, or another rule of the library changes."""
        text = text.replace(str(self.told.root.parent), "WORK").replace(self.later, "LATER")
        for pattern, instead in CHANGING:
            text = re.sub(pattern, instead, text)
        return re.sub(r"(?m)[ \t]+$", "", text)


def _quoted(word: str) -> str:
    return f"'{word}'" if " " in word else word


@contextmanager
def asker(directory: Path) -> Iterator[Asker]:
    """Yield an asker with a history and an installation of their own, standing in the history, with an empty cache."""
    made = told(directory / "fleets")
    later = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%d")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDAIN_OPA", str(find_opa(None)))
        patch.setenv("ORDAIN_CACHE", str(directory / "cache"))
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.chdir(made.root)
        yield Asker(installed(made, directory / "installation"), later)


def keep(names: list[str]) -> None:
    """Write answers as they are now, all of them where none is named."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, asker(Path(directory)) as asks:
        for name, question in QUESTIONS.items():
            if not names or name in names:
                (GOLDEN / name).write_text(asks.answer(question))
        if DAYS in names:
            (GOLDEN / DAYS).write_text(lived(asks.told, Path(directory, "days")))


if __name__ == "__main__":
    keep(sys.argv[1:])
