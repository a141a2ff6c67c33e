"""`ordain import`: the hosts of an Ansible inventory, or of a table, as Agent manifests in a working copy."""

import json
from collections.abc import Iterable
from pathlib import Path

import click

from agent.protocol.errors import InputError
from reconciler.cli.progress import Progress
from reconciler.inventory import ansible, table
from reconciler.inventory.choosing import Wanted, chosen
from reconciler.inventory.groups import Listed
from reconciler.inventory.hosts import Note, require_fitting
from reconciler.inventory.writing import Written, write_hosts
from reconciler.printable import printable

SUFFIXES = {".csv": "csv", ".tsv": "csv", ".yml": "yaml", ".yaml": "yaml", ".json": "yaml"}
"""How a list is read by the end of its name; all others are inventories in INI form."""
NOTES_SHOWN = 20
"""Notes on a terminal; --format json has all of them."""


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--tenant", required=True, help="Whose agents they become; the tenant must be there.")
@click.option(
    "--repo", default=".", show_default=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="Fleet repository."
)
@click.option("--from", "how", type=click.Choice(["ini", "yaml", "csv"]), help="How FILE is written.  [default: by its name]")
@click.option(
    "--labels", multiple=True, metavar="LABEL[=VARIABLE]", help="A label from a host or group variable, or a column; may be given again."
)
@click.option(
    "--group-label", "groups", multiple=True, metavar="LABEL=GROUP,GROUP", help="A label whose value is the group that a host is in."
)
@click.option("--label", "fixed", multiple=True, metavar="LABEL=VALUE", help="A label for all of them.")
@click.option(
    "--limit", "only", multiple=True, metavar="GROUP|PATTERN", help="Only hosts of this group, or whose names match; may be given again."
)
@click.option(
    "--strip-domain", "domain", default="", metavar="DOMAIN", help="What is taken off the end of names before dots become hyphens."
)
@click.option("--name-column", default=table.NAME, show_default=True, help="Of a table: the column with the host's name.")
@click.option("--description", default="", metavar="VARIABLE", help="A variable or column that says what the host is for.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--commit", is_flag=True, help="Commit the new files, and nothing else, as your own git does.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def import_(  # noqa: PLR0917 - click passes options by name
    file: Path,
    tenant: str,
    repo: Path,
    how: str | None,
    labels: tuple[str, ...],
    groups: tuple[str, ...],
    fixed: tuple[str, ...],
    only: tuple[str, ...],
    domain: str,
    name_column: str,
    description: str,
    form: str,
    *,
    dry_run: bool,
    commit: bool,
) -> None:
    """Write an Agent manifest for each host of FILE that has none: an Ansible inventory (INI, YAML) or a table (CSV).

    Names become DNS labels (web_01.example.com: web-01-example-com), and what is changed or left out is said. Nothing is overwritten,
    nothing of Ansible is run. Labels decide what a host gets, so only those become labels that you name.

    Exit codes: 0 done, 2 FILE can't be read or has no such variable, 3 it could not be written or committed.

    \b
    Examples:
      ordain import hosts.ini --tenant shop --group-label role=web,db --labels region --dry-run
      ordain import inventory.yaml --tenant shop --limit web --labels region=site_region --commit
      ordain import hosts.csv --tenant shop --name-column hostname --labels rack --label env=prod
    """
    same = dict(_pair(one, "--label") for one in fixed)
    require_fitting(same)
    wanted = Wanted(
        fixed=same,
        variables=dict(_pair(one if "=" in one else f"{one}={one}", "--labels") for one in labels),
        groups={name: stated.split(",") for name, stated in (_pair(one, "--group-label") for one in groups)},
        only=only,
        domain=domain,
        description=description,
    )
    said: list[Note] = []
    with Progress() as told:
        told(f"reading {file}")
        found = chosen(_listed(file, how or SUFFIXES.get(file.suffix.lower(), "ini"), name_column, said), wanted)
        message = f"{_counted(len(found.hosts))} from {file.name if str(file) != '-' else 'a list'}" if commit else ""
        told(f"{_counted(len(found.hosts))}: making manifests")
        done = write_hosts(repo, tenant, found, dry_run=dry_run, commit=message)
    _say(done, said, form, dry_run=dry_run)


def _pair(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign or not value:
        message = f"{option} {text}: write it as NAME=VALUE"
        raise click.UsageError(message)
    return name, value


def _listed(file: Path, how: str, name_column: str, said: list[Note]) -> Iterable[Listed]:
    """Return the hosts of a file; notes on what stands beside it go into `said`."""
    where = str(file)
    data = ansible.read_bytes(file)
    if how == "yaml":
        groups = ansible.read_yaml(data, where=where)
    else:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            message = f"{where}: it is no text in UTF-8; save it as such, or say how it is written with --from"
            raise InputError(message) from error
        if how == "csv":
            return table.read_csv(text, where=where, name=name_column)
        groups = ansible.read_ini(text, where=where)
    if where != "-":
        said += ansible.add_files(groups, file.parent)
    return groups.listed()


def _say(done: Written, said: list[Note], form: str, *, dry_run: bool) -> None:
    notes = [*said, *done.notes]
    if form == "json":
        listed = [{"host": one.name, "what": one.what, "leftOut": one.left_out} for one in notes]
        click.echo(json.dumps({"files": done.files, "notes": listed, "commit": done.commit or None}, indent=2, ensure_ascii=False))
        return
    for path in done.files:
        click.echo(path)
    for note in notes[:NOTES_SHOWN]:
        click.echo(printable(f"{note.name}: {'left out: ' if note.left_out else ''}{note.what}"), err=True)
    if len(notes) > NOTES_SHOWN:
        click.echo(f"… and {len(notes) - NOTES_SHOWN} more notes; --format json has all of them", err=True)
    out = sum(one.left_out for one in notes)
    what = f"{_counted(len(done.files))} {'would be written' if dry_run else 'written'}" + (f", {out} left out" if out else "")
    then = (
        f"; committed as {done.commit[:12]}"
        if done.commit
        else ""
        if dry_run or not done.files
        else "; `ordain check` judges them, then commit"
    )
    click.echo(what + then, err=True)


def _counted(number: int) -> str:
    return f"{number:,} host{'' if number == 1 else 's'}"
