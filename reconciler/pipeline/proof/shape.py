"""What a proof comes to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """Something that is not as it must be: `what` it is (record, note, bundle), `where` it stands, what belongs there, what was found."""

    what: str
    where: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """Something that could not be looked at, and why: it may be as it must be."""

    what: str
    where: str
    why: str


Finding = Misfit | Unproven


@dataclass(slots=True, kw_only=True)
class Report:
    """All that was found: how many things of each sort were proven, what does not fit, what could not be proven."""

    proven: Counter[str] = field(default_factory=Counter)
    misfits: list[Misfit] = field(default_factory=list)
    unproven: list[Unproven] = field(default_factory=list)

    def take(self, what: str, found: Iterable[Finding]) -> bool:
        """Count one thing of a sort as proven unless something was found about it; return whether nothing was."""
        fine = True
        for one in found:
            fine = False
            if isinstance(one, Misfit):
                self.misfits.append(one)
            else:
                self.unproven.append(one)
        if fine:
            self.proven[what] += 1
        return fine
