"""`ordain accept-history`: a person's word that a rewritten history may be followed."""

from datetime import UTC, datetime
from pathlib import Path

import click

from agent.protocol.errors import InputError
from reconciler.pipeline.source import full_sha, mirror_path, open_repository, write_exception


@click.command("accept-history")
@click.option(
    "--state", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="The reconciler's state directory."
)
@click.option("--head", required=True, help="The commit that may follow, as `ordain status` names it.")
@click.option("--reason", default="none given", show_default=True, help="Why history was rewritten; kept with the decision's log.")
def accept_history(state: Path, head: str, reason: str) -> None:
    """Let one head follow although it does not descend from the examined one.

    Run it on the reconciler's own host. It counts for this head alone, and once. The reconciler has to have fetched it: then
    `ordain status` names it, with this command.

    Exit codes: 0 it may follow, 2 no such commit was fetched.

    \b
    Example:
      ordain accept-history --state /var/lib/ordain --head 1f3a… --reason "secret removed from history"
    """
    exception = write_exception(state, head=_fetched(mirror_path(state), head), reason=reason, now=datetime.now(tz=UTC))
    click.echo(f"{exception.head} may follow; the reconciler takes it up at its next look", err=True)


def _fetched(mirror: Path, head: str) -> str:
    """Return a head in full; raise `InputError` for one that was not fetched, so that a slip of the hand is not taken for an answer."""
    sha = full_sha(mirror, head)
    if mirror.is_dir() and open_repository(mirror).get(sha) is None:
        message = (
            f"{sha}: the reconciler has fetched no such commit; copy the head that `ordain status` names, "
            "and if it was pushed just now, ask again after the next fetch"
        )
        raise InputError(message)
    return sha
