"""Text from a fleet repository as it may be shown: what stands in names, messages and lines must not pass for something else.

A file name may hold line ends, colours and signs that turn the writing direction, so that a report says what its author
likes. So everything that is printed for people goes through here.
"""

EXCERPT = 120
"""Characters of a source line that are shown: what fits on a terminal beside its number."""
BEFORE = 80
"""Of those, at most so many before the column that the line is shown for."""
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def printable(text: str) -> str:
    """Return the text with everything that prints nothing, or moves what is printed, written as an escape (`\\x1b`)."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    number = ord(letter)
    if letter in _SHORT:
        return _SHORT[letter]
    return f"\\x{number:02x}" if number <= 0xFF else f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004


def clipped(text: str, limit: int) -> str:
    """Return the text, or as much of it as fits into `limit` characters with `…` at its end."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def excerpt(line: str, column: int) -> tuple[str, int]:
    """Return the part of a line around a column (from 1) that fits, and how many characters stand before that column in it.

    A column past the end of the line is the place after its last character.
    """
    at = min(max(column - 1, 0), len(line))
    start = 0 if len(line) <= EXCERPT else max(0, min(at - BEFORE, len(line) - EXCERPT))
    end = min(len(line), start + EXCERPT)
    before = ("…" if start else "") + printable(line[start + (start > 0) : at])
    return before + printable(line[at:end] if end == len(line) else line[at : end - 1]) + ("…" if end < len(line) else ""), len(before)
