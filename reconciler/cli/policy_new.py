"""`ordain policy new`: a rule to start from, with its tests, its examples and its page."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from agent.protocol.errors import InputError, RetryError
from reconciler.cli.known_tenants import require_tenant
from reconciler.cli.policy_source import FORMAT, REPOSITORY, place_of
from reconciler.pipeline.policy import library, scaffold
from reconciler.pipeline.policy.metadata import COMPONENT, Scope
from reconciler.pipeline.policy.stand_ins import KINDS


@click.command("new")
@click.argument("name", metavar="CATEGORY/RULE")
@REPOSITORY
@click.option("--tenant", default="", help="Make it a rule of this tenant alone.")
@click.option(
    "--scope", type=click.Choice(["object", "release", "change"]), default="object", show_default=True, help="What it is asked about."
)
@click.option("--kind", type=click.Choice(KINDS), help="Which kind an object rule is about.  [default: Component]")
@FORMAT
def new(name: str, path: Path, tenant: str, scope: Scope, kind: str | None, form: str) -> None:  # noqa: PLR0917 - click passes them by name
    """Write a new rule into the fleet repository at PATH, with its tests, examples and page.

    It passes `ordain policy test` and `ordain policy lint` at once. What it finds is a stand-in: put your condition in its place.
    Its level is audit, so it refuses nothing until you say so. Nothing is ever overwritten.

    Exit codes: 0 written, 2 wrong usage or there is such a rule already, 3 it can't be written.

    \b
    Examples:
      ordain policy new files/no-secrets fleets              about components
      ordain policy new rollout/slow fleets --kind Fleet     about fleets
      ordain policy new files/mine fleets --tenant shop      for one tenant alone
    """
    if kind is not None and scope != "object":
        message = f"--kind {kind}: a rule of scope {scope} is about all kinds; leave --kind out, or --scope"
        raise InputError(message)
    place = place_of(path)
    rule = scaffold.wanted(name, tenant=tenant, scope=scope, kind=kind or COMPONENT)
    if tenant:
        require_tenant(place.tree, tenant)
    sources = library.collect(place.tree, place.layout.policies)
    scaffold.require_new(rule, sources.files.values())
    target = f"{place.layout.policies}/{rule.directory}"
    written = scaffold.files(rule)
    _write(path, target, written)
    if form == "json":
        click.echo(json.dumps({"id": rule.id, "directory": target, "files": [f"{target}/{file}" for file in written]}, indent=2))
        return
    for file in written:
        click.echo(path / target / file)
    click.echo(f"\n{rule.id} is there, at audit. Next:\n\n  ordain policy test {path}\n  ordain policy try {rule.id} {path}", err=True)


def _write(root: Path, target: str, files: Mapping[str, bytes]) -> None:
    """Put a directory in place as a whole.

    Raises:
        InputError: there is something already, or the way there leads out of the repository.
        RetryError: it can't be written.
    """
    place = root / target
    if not place.resolve().is_relative_to(root.resolve()):
        message = f"{place} leads out of the repository by a symlink; put the directory itself there"
        raise InputError(message)
    if place.exists():
        message = f"{place} is there already, and nothing is overwritten; choose another name, or remove it first"
        raise InputError(message)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".ordain-new.", dir=place.parent) as temporary:
            built = Path(temporary) / "rule"
            for name, content in files.items():
                (built / name).parent.mkdir(parents=True, exist_ok=True)
                (built / name).write_bytes(content)
            built.rename(place)
    except OSError as error:
        message = f"{place}: {error.strerror or error}; see that it can be written, and try again"
        raise RetryError(message) from error
