"""Which hosts differ alike: differences noted set by set of hosts, the same ones once.

Two differences are the same where the same lines of the same thing go and come. So a change of one line is shown once, though each
region has other lines around it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.protocol.bundle import Group
from agent.protocol.state import State
from reconciler.pipeline.plan.effects import effects
from reconciler.pipeline.plan.shape import Item
from reconciler.pipeline.plan.states import Key, Shown, differing, shown

Same = tuple[str, str, str, str, tuple[str, ...], tuple[str, ...]]
"""What makes two differences the same: field, name, what happens, mode, the lines that go and come, and what it sets off."""


@dataclass(slots=True, kw_only=True)
class Noting:
    """Differences as they are found. `withheld` says which items are kept back and why, `veiled` which texts are blotted out."""

    withheld: Mapping[Key, str]
    veiled: tuple[str, ...] = ()
    _compared: dict[bytes, Shown] = field(default_factory=dict)
    _items: dict[Same, Item] = field(default_factory=dict)
    _numbers: dict[Same, set[int]] = field(default_factory=dict)

    def join(self, number: int, group: Group) -> None:
        """Note what a set of hosts gets that joins, by name alone: the lines are known from the others, and so are the modes."""
        for pair in differing(None, group.base):
            item = shown(pair, withheld=self.withheld.get((pair.field, pair.name), ""), veiled=self.veiled).item
            self._add(number, (pair.field, pair.name, pair.change, "", (), ()), replace(item, lines=(), more=item.more + len(item.lines)))

    def look(self, number: int, former: Group | None, group: Group) -> None:
        """Note what differs for a set of hosts: as a rule, and in each mode in which it is not the same."""
        usual = self._note(number, "", former.base if former is not None else None, group.base, usual=frozenset())
        modes = {mode.name: mode.state for mode in former.modes} if former is not None else {}
        for mode in group.modes:
            told = usual if mode.name in modes else frozenset[Same]()
            self._note(number, mode.name, modes.get(mode.name, group.base), mode.state, usual=told)

    def by_sets(self) -> dict[frozenset[int], list[Item]]:
        """Return the items by the sets of hosts on which they differ alike."""
        found: dict[frozenset[int], list[Item]] = {}
        for same, numbers in self._numbers.items():
            found.setdefault(frozenset(numbers), []).append(self._items[same])
        return found

    def _note(self, number: int, mode: str, before: State | None, after: State, *, usual: frozenset[Same]) -> frozenset[Same]:
        noted = set[Same]()
        for pair in differing(before, after):
            known_by = pair.known_by()
            if known_by not in self._compared:
                self._compared[known_by] = shown(pair, withheld=self.withheld.get((pair.field, pair.name), ""), veiled=self.veiled)
            found = self._compared[known_by]
            set_off = effects(pair, before, after)
            same = (pair.field, pair.name, pair.change, "", found.changed, set_off)
            noted.add(same)
            if same not in usual:
                self._add(number, (*same[:3], mode, found.changed, set_off), replace(found.item, mode=mode, effects=set_off))
        return frozenset(noted)

    def _add(self, number: int, same: Same, item: Item) -> None:
        known = self._items.setdefault(same, item)
        if known.lines != item.lines and known.alike:
            self._items[same] = replace(known, alike=False)
        self._numbers.setdefault(same, set()).add(number)
