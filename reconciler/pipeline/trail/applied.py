"""When a host took a release, by its own word: receipts, which it signs. Pure; who asks a server makes `Receipt`s of its answers.

A receipt is a claim of the host's, and the newest one up to a time says how things stood then. Without a server there are none.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

RUNS, TAKEN_BACK = "applied", "restored"
"""Results of a receipt: its release runs; its release was taken back by the host, and the one before runs again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a release on one host; `fleet` is `<tenant>/<fleet>`, `at` the host's clock, `certificate` whose key signed."""

    fleet: str
    digest: str
    result: str
    at: str
    received: str = ""
    attempt: int = 0
    generation: int = 0
    mode: str = ""
    why: str = ""
    certificate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a host's receipts say of a release: `first` is when it first ran, `last` the newest about it (None: none is about it).

    `running` is the newest receipt of what ran at that time, of this release or of another: the newest that was applied and has not been
    taken back since.
    """

    first: Receipt | None
    last: Receipt | None
    running: Receipt | None


Asked = Callable[[str], Iterable[Receipt]]
"""Returns the receipts of one host for a fleet (`shop/web`), as `applied` takes them."""


def applied(receipts: Iterable[Receipt], fleet: str, digest: str, *, until: str = "") -> Applied:
    """Return what receipts say of a release of a fleet, up to a time (RFC 3339 in UTC; empty: all of them).

    They may come in any order, but for those of one second: there the later one comes later.
    """
    known = sorted(
        (one for one in receipts if one.fleet == fleet and (not until or one.at <= until)), key=lambda one: (one.at, one.received)
    )
    about = [one for one in known if one.digest == digest]
    return Applied(
        first=next((one for one in about if one.result == RUNS), None),
        last=about[-1] if about else None,
        running=_running(known),
    )


def _running(known: Iterable[Receipt]) -> Receipt | None:
    ran: list[Receipt] = []
    for one in known:
        if one.result == RUNS:
            ran.append(one)
        elif one.result == TAKEN_BACK:
            ran = [before for before in ran if before.digest != one.digest]
    return ran[-1] if ran else None


def told(found: Applied, digest: str) -> str:
    """Return in one line what a host said of a release."""
    if found.last is None:
        other = f"; it last said that sha256:{found.running.digest[:12]} ran, at {found.running.at}" if found.running else ""
        return f"no receipt of this host is about this bundle{other}"
    why = f": {found.last.why}" if found.last.why else ""
    if found.last.result == TAKEN_BACK:
        back = f"; sha256:{found.running.digest[:12]} runs" if found.running else ""
        return f"taken back by the host at {found.last.at}{why}{back}"
    if found.first is None:
        return f"never ran: {found.last.result} at {found.last.at}{why}"
    since = f"since {found.first.at} (generation {found.first.generation}), by a receipt of the host, as the server has it"
    if found.running is not None and found.running.digest != digest:
        return f"{since}; until {found.running.at}, when sha256:{found.running.digest[:12]} took its place"
    if found.last.result != RUNS:
        return f"{since}; later {found.last.result} at {found.last.at}{why}"
    return since
