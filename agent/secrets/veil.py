"""The last line before anything is said: values of secrets are taken out of texts, whoever wrote them there.

Nothing of ordain's puts a value into a message. What a program prints when it fails may hold one, and ends up in a reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

LEAST = 4
"""Characters of a text that is blotted out: shorter ones stand in every other word."""


@dataclass(slots=True, kw_only=True)
class Veil:
    """Knows the values that are in use, longest first."""

    known: dict[str, str] = field(default_factory=dict, repr=False)

    def draw(self, values: Mapping[str, str]) -> None:
        """From now on take these values out, by the name of their secret; all lines of one are taken out by themselves, too."""
        new = {text: name for name, value in values.items() for text in _texts(value) if text not in self.known}
        if new:  # replaced whole, since other threads read it
            self.known = dict(sorted({**self.known, **new}.items(), key=lambda item: -len(item[0])))

    def __call__(self, text: str) -> str:
        """Return a text without the values."""
        for value, name in self.known.items():
            if value in text:
                text = text.replace(value, f"…secret {name}…")
        return text


def _texts(value: str) -> Iterable[str]:
    lines = (line.strip() for line in value.split("\n"))
    return {text for text in (value.strip(), *lines) if len(text) >= LEAST}
