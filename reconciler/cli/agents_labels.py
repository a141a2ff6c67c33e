"""`ordain agents labels`: labels of an agent or a pool, in its manifest; git decides what they are, so that is where they are changed."""

import json
from pathlib import Path

import click

from reconciler.inventory.labels import labels_of, set_labels
from reconciler.printable import printable


@click.command()
@click.argument("agent", metavar="TENANT/AGENT")
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE | KEY-]...")
@click.option(
    "--repo", default=".", show_default=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="Fleet repository."
)
@click.option("--commit", is_flag=True, help="Commit that manifest, and nothing else, as your own git does.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def labels(agent: str, changes: tuple[str, ...], repo: Path, form: str, *, commit: bool) -> None:
    """Show the labels of an agent or a pool in a working copy, or change them in its manifest; KEY- removes one.

    Labels decide in which fleets a host is, so a change goes through review and waves like any other: this writes, and you commit.
    Comments and everything else in the file stay.

    Exit codes: 0 done, 2 no such agent, or its manifest has to be edited by hand, 3 git can't commit.

    \b
    Examples:
      ordain agents labels shop/web-01 --repo fleets
      ordain agents labels shop/web-01 canary=true rack- --repo fleets --commit
    """
    tenant, _, name = agent.partition("/")
    if not name:
        message = f"{agent}: write TENANT/AGENT, or TENANT/POOL"
        raise click.UsageError(message)
    if changes:
        done = set_labels(repo, tenant, name, dict(_change(one) for one in changes), commit=commit)
        for note in done.notes:
            click.echo(printable(f"{agent}: {note.what}"), err=True)
        if done.files:
            what = f"committed as {done.commit[:12]}" if done.commit else "written; `ordain plan` shows what comes of it, then commit"
            click.echo(f"{printable(done.files[0])}: {what}", err=True)
    found = labels_of(repo, tenant, name)
    if form == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False, sort_keys=True))
        return
    for key, value in sorted(found.items()):
        click.echo(f"{key}={value}")


def _change(text: str) -> tuple[str, str | None]:
    key, sign, value = text.partition("=")
    if sign and key:
        return key, value
    if len(text) > 1 and text.endswith("-"):
        return text[:-1], None
    message = f"{text}: write KEY=VALUE, or KEY- to remove a label"
    raise click.UsageError(message)
