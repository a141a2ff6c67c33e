"""What would move a rollout, in words for whoever is called at night: what it waits for by itself, and which command does what."""

from collections.abc import Iterator, Sequence

from reconciler.control.rollout.progress import Progress
from reconciler.rollouts.strategy import WHOLE, Strategy


def would_move(
    progress: Progress, waits: Sequence[str], strategy: Strategy, *, name: str, newer: bool = False, frozen: bool = False
) -> Iterator[str]:
    """Yield what would move a rollout; `waits` are the kinds of what holds it, `name` is `<tenant>/<fleet>`.

    `newer` is whether another release waits until this one is done: it takes the place of one that is paused. `frozen` is whether the
    newest commit was refused.
    """
    if progress.phase == "settled":
        yield "a commit that is let through: the newest was refused" if frozen else "a new release"
        return
    if progress.phase == "stopped":
        yield f"a new commit, or `ordain rollout retry {name} --reason …`, which tries the same release again"
        return
    if progress.phase == "paused":
        yield f"`ordain rollout resume {name} --reason …` goes on where it is, `retry` begins again, `abort` takes it back"
        yield "a newer commit: its release takes this one's place and begins with the first wave, unless `ordain freeze` holds it"
        return
    yield from _by_itself(progress, waits, strategy, name)
    if newer and progress.wave >= 0:
        yield f"`ordain freeze --fleet {name} --for 2h --reason …` holds everything where it is; `pause` would let the newer release begin"
        yield f"`ordain rollout abort {name} --reason …` takes it back from everybody, and lets the newer release begin"
    else:
        yield f"`ordain rollout pause {name} --reason …` holds it, `abort` takes it back from everybody"


def _by_itself(progress: Progress, waits: Sequence[str], strategy: Strategy, name: str) -> Iterator[str]:
    if progress.phase == "applying":
        health = strategy.health
        after = "then it is paused" if health.pause else "then it is taken back by itself"
        shares = f"{_share(health.quorum)} of the wave's connected hosts must have shown something, {_share(health.threshold)} of those"
        soak = strategy.steps[min(progress.wave, len(strategy.steps) - 1)].soak
        yield f"receipts: {shares} that they are well, for {soak} s since they said so first"
        late = f"a host that has not told within {health.timeout} s that it works has failed"
        yield f"more than {_share(WHOLE - health.threshold)} failed: {after}; {late}"
    if "approval" in waits:
        yield f"`ordain rollout approve {name} --reason …`, by somebody who did not ask for it"
    if "freeze" in waits:
        yield "the end of the freeze: by itself, by `ordain freeze end` where it was put on by hand, by a commit where git has it"
    if "window" in waits:
        yield "the beginning of its next window"
    if "empty" in waits:
        yield "a host with the wave's labels, or another strategy"


def _share(thousandths: int) -> str:
    return f"{thousandths / 1000:g} %"
