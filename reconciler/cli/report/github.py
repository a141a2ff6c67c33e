"""For GitHub Actions: workflow commands, which become annotations on the lines of a pull request.

See https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions. GitHub shows ten errors, ten warnings
and ten notices of a step, so what refuses comes first; the rest stands in the log.
"""

from reconciler.cli.report.outcome import Outcome
from reconciler.pipeline.finding import Verdict
from reconciler.printable import printable

_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = _DATA | {":": "%3A", ",": "%2C"}


def render(outcome: Outcome) -> str:
    """Return one command a verdict, and a last line that sums up."""
    ordered = sorted(outcome.verdicts, key=lambda one: not one.blocking)
    notes = [f"::warning title=ordain::{_escaped(note, _DATA)}" for note in outcome.judge_notes()]
    return "\n".join([*(_command(one, outcome) for one in ordered), *notes, f"{outcome.word}: {outcome.total}"])


def _command(one: Verdict, outcome: Outcome) -> str:
    properties = {"file": outcome.path(one), "line": str(one.line or 1), "col": str(one.column or 1), "title": one.rule}
    listed = ",".join(f"{name}={_escaped(value, _PROPERTY)}" for name, value in properties.items())
    standing = "Waived: " if one.waived else "Standing since before: " if one.standing else ""
    asides = "".join(f"\n{aside}" for aside in one.asides)
    remedy = f"{asides}\nremedy: {one.remedy}" if one.remedy and not one.waived else asides
    return f"::{_level(one)} {listed}::{_escaped(f'{standing}{one.message}{remedy}', _DATA)}"


def _level(one: Verdict) -> str:
    if one.blocking:
        return "error"
    return "warning" if one.action == "warn" and not one.mark else "notice"


def _escaped(text: str, signs: dict[str, str]) -> str:
    return "".join(signs.get(sign, sign) if sign in signs or sign.isprintable() else printable(sign) for sign in text)
