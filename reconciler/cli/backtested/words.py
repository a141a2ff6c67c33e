"""What is said of a replay in every format that people read."""

from reconciler.cli.planned.words import counted
from reconciler.pipeline.backtest.shape import Replay, Side

RECKONING = (
    "A refused commit counts as a false alarm where no later commit says that it reverts it, none puts a refused file back as it was, "
    "and no --incident names it. Harm that was mended by another change looks like a false alarm, so the true share is lower."
)


def share(part: int, whole: int) -> str:
    """Return a share in per cent: `2.9 %`."""
    return f"{100 * part / whole:.1f} %" if whole else "0 %"


def headline(replay: Replay) -> str:
    """Return in a sentence what was replayed and how much of it would have been refused."""
    refused = len(replay.side.commits)
    span = f", {replay.first[:10]} to {replay.last[:10]}" if replay.steps else ""
    waived = f"; waivers of then excused {replay.side.waived} more" if replay.side.waived else ""
    return (
        f"{replay.subject} would have refused {refused:,} of {counted(replay.steps, 'commit')} ({share(refused, replay.steps)}{span}), "
        f"with {counted(len(replay.side.refusals), 'finding')}{waived}"
    )


def alarms(replay: Replay) -> str:
    """Return in a sentence how many refusals look like false alarms."""
    refused = len(replay.side.commits)
    return f"At most {replay.false_alarms:,} of {refused:,} refused commits were false alarms ({share(replay.false_alarms, refused)})."


def unread(side: Side) -> str:
    """Return in a sentence what could not be read, empty where all could."""
    number = len(side.unread)
    if not number:
        return ""
    return f"{counted(number, 'version')} could not be read then: broken, or not as today's schemas want it. Nothing is known about those."


def apart(replay: Replay) -> str:
    """Return in a sentence how two judges differ, empty where only a rule was replayed."""
    if replay.no_longer is None:
        return ""
    return (
        f"Beside the policies that each commit was judged by, new findings: {len(replay.side.refusals):,}, "
        f"gone: {len(replay.no_longer):,}, the same: {replay.same:,}."
    )


def effort(replay: Replay) -> str:
    """Return in a sentence how much was asked, and what was known."""
    what = "commit" if replay.whole else "version"
    known = f", {replay.reused:,} known from before" if replay.reused else ""
    dropped = "; what was kept of an earlier run had been changed or cut short, and was not believed" if replay.poisoned else ""
    return f"{counted(replay.asked, what)} judged{known}{dropped}"
