"""What simulated hosts do wrong, by dice: the same for the same seed and name, whatever happens around them."""

import random
from dataclasses import dataclass
from datetime import timedelta

CLOCK_MOST = timedelta(hours=12)
"""How far a clock that is off may be, either way. Certificates are judged by the machine's own clock, which nobody here can set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """Shares are of all hosts, 0 to 1; times are in seconds, and means of exponential distributions."""

    seed: int = 1
    failing: float = 0.0
    """On these, a release that is bad fails; what is stable does not."""
    silent: float = 0.0
    """These take a bad release and are never heard of again."""
    away: float = 0.0
    """These leave before a release and come back `back` seconds later."""
    back: float = 10.0
    clocks: float = 0.0
    """The clocks of these are off, by `CLOCK_MOST` at most."""
    drops: float = 0.0
    """How often a minute the connection of a host is lost."""
    latency: float = 0.0
    """Of a request on its way, there and back."""
    applying: float = 0.0
    """Until a release is applied."""
    verified: float = 0.05
    """These verify what they are told with the agent's own TUF client; the others believe it and check digests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What will become of one host; `dice` are its own, for what happens as time goes on."""

    fails: bool
    silenced: bool
    away: bool
    clock: timedelta
    verifies: bool
    dice: random.Random


def fate_of(name: str, chances: Chances) -> Fate:
    """Return a host's fate."""
    dice = random.Random(f"{chances.seed}/{name}")
    fails, silenced, away, clock, verifies = (dice.random() for _ in range(5))
    apart = timedelta(seconds=round(dice.uniform(-1, 1) * CLOCK_MOST.total_seconds()))
    return Fate(
        fails=fails < chances.failing,
        silenced=silenced < chances.silent,
        away=away < chances.away,
        clock=apart if clock < chances.clocks else timedelta(0),
        verifies=verifies < chances.verified,
        dice=dice,
    )
