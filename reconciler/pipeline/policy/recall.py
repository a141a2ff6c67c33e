"""Not asking again: what a judge's rules said of the very same object holds, unless a rule may look at the change around it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from reconciler.pipeline.manifests import Document
from reconciler.pipeline.policy.batches import Answer
from reconciler.pipeline.policy.metadata import Rule

Said = Mapping[str, list[Any]]
"""Rule → its raw findings; a rule that found nothing is left out."""


class Item(Protocol):
    """All that object rules see of a manifest, but for the change."""

    @property
    def document(self) -> Document:
        """The manifest."""
        ...

    @property
    def old(self) -> Mapping[str, Any] | None:
        """Its accepted version."""
        ...

    @property
    def sources(self) -> Mapping[str, str]:
        """The texts of its source files."""
        ...


class Answers(Protocol):
    """What remembers what one judge's rules said of objects, of those rules that can't read the change."""

    def get(self, item: Item) -> Said | None:
        """Return what they all said of an item, None where they must be asked."""
        ...

    def put(self, item: Item, said: Said) -> None:
        """Keep what they all said."""
        ...


def told(known: Sequence[Said | None]) -> list[Answer]:
    """Return what is known of items, by their number, as if it had been asked just now."""
    return [
        Answer(number=number, rule=rule, findings=raw)
        for number, said in enumerate(known)
        if said is not None
        for rule, raw in said.items()
    ]


def learn(
    answers: Answers, items: Sequence[Item], known: Sequence[Said | None], fresh: Sequence[Answer], rules: Mapping[str, Rule]
) -> None:
    """Keep what was said of items that were not known; nothing of one that a rule had trouble with."""
    said: dict[int, dict[str, list[Any]]] = {number: {} for number, each in enumerate(known) if each is None}
    for answer in fresh:
        if answer.number not in said:
            continue
        if answer.trouble or not isinstance(answer.findings, list):
            del said[answer.number]
        elif not rules[answer.rule].reads_change:
            said[answer.number][answer.rule] = answer.findings
    for number, each in said.items():
        answers.put(items[number], each)
