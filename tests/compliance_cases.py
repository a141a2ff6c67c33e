"""The report on the history of backtest_cases as it was read and agreed to; `python -m tests.compliance_cases` writes it anew."""

import re
import tempfile
from pathlib import Path

from click.testing import CliRunner, Result

from reconciler.cli import cli
from tests.backtest_cases import told

GOLDEN = Path(__file__).parent / "golden" / "compliance"
KEPT = {"text": "report.txt", "markdown": "report.md"}
SINCE = ("--since", "2026-08-01")
_NOW = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, judged by [0-9a-f]{12}")
_RULES = re.compile(r"(## By rule\n).*?(?=\n## )", re.DOTALL)


def compliance(root: Path, *arguments: str | Path) -> Result:
    """Run the command; raise `AssertionError` if it does not end with 0."""
    done = CliRunner().invoke(cli, ["report", "compliance", str(root), *map(str, arguments)])
    assert done.exit_code == 0, (done.stderr, done.exception)
    return done


def steady(root: Path, form: str) -> str:
    """Return a report without what another day, or another rule of the library, changes."""
    made = _NOW.sub("NOW, judged by JUDGE", compliance(root, *SINCE, "--format", form).stdout)
    return re.sub(r"everywhere: \d+;", "everywhere: MANY;", _RULES.sub(r"\1", made))


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        made = told(Path(directory, "fleets"))
        for form, name in KEPT.items():
            (GOLDEN / name).write_text(steady(made.root, form))
