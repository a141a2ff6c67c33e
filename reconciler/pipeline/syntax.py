"""What is not YAML, in words that help: ruamel.yaml says what its parser met, people want to know what to write instead.

Where a bracket or a quote is never closed, the end of the file is where the parser noticed; it is said where that was opened.
"""

from dataclasses import dataclass

from ruamel.yaml.error import MarkedYAMLError


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What is wrong, what to do about it, and where: line and column from 1."""

    message: str
    remedy: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A problem that the parser knows, by a part of its message; `opened`: said where it began and not where it was noticed."""

    says: str
    remedy: str
    opened: bool = False
    within: str = ""


_CASES = (
    _Case(says="'\\t'", remedy="indent with spaces: YAML takes no tabs there"),
    _Case(says="unexpected end of stream", remedy="close the quote that opens here", opened=True),
    _Case(says="but got '<stream end>'", remedy="close the bracket that opens here", opened=True),
    _Case(
        says="expected ',' or", remedy="close the bracket of line {line}, put commas between its items, and quote texts that hold a bracket"
    ),
    _Case(
        says="mapping values are not allowed", remedy="quote the text if the colon is part of it; else indent the line as its neighbours"
    ),
    _Case(says="could not find expected ':'", remedy="write a colon and a space after the key", opened=True),
    _Case(says="expected <block end>", remedy="indent the line as those that it belongs to; after a closing quote nothing follows"),
    _Case(within="while scanning an alias", says="", remedy='quote the text: "*" at its beginning stands for something else'),
    _Case(within="while scanning an anchor", says="", remedy='quote the text: "&" at its beginning names it for later'),
    _Case(says="cannot start any token", remedy="quote the text: none begins with this sign"),
    _Case(says="unknown escape character", remedy="write \\\\ for a backslash, or use single quotes"),
    _Case(says="chomping or indentation indicators", remedy="begin the text on the line below, or quote it"),
    _Case(says="expected the node content", remedy="leave the sign out, or quote the text that it is part of"),
)
OTHERWISE = "see that lines are indented alike, brackets and quotes are closed, and texts that hold signs are quoted"
"""The remedy where nothing more is known."""


def explained(error: MarkedYAMLError) -> Explained:
    """Return a parser's error in words that help."""
    problem, context = error.problem or "", error.context or ""
    case = next((case for case in _CASES if case.says in problem and case.within in context), None)
    mark = (error.context_mark if case is not None and case.opened else None) or error.problem_mark or error.context_mark
    opened = error.context_mark.line + 1 if error.context_mark else 1
    return Explained(
        message="not YAML: " + ", ".join(part for part in (context, problem) if part),
        remedy=case.remedy.format(line=opened) if case is not None else OTHERWISE,
        line=mark.line + 1 if mark else 1,
        column=mark.column + 1 if mark else 1,
    )
