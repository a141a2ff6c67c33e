"""`ordain schema`: the JSON Schemas of manifests and wire documents, as this version reads them."""

import difflib
import json

import click

from agent.protocol.errors import InputError
from reconciler.pipeline.validation import names
from reconciler.pipeline.validation import schema as load


@click.command()
@click.argument("kind", required=False)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How the list is printed.")
def schema(kind: str | None, form: str) -> None:
    """Print the JSON Schema of KIND, or list all of them.

    \b
    Examples:
      ordain schema                     what there is
      ordain schema fleet               a kind of manifest
      ordain schema wire/rollout        a document that agents read
    """
    if kind is None:
        _list(form)
    else:
        click.echo(json.dumps(load(_named(kind)), indent=2, ensure_ascii=False))


def _list(form: str) -> None:
    listed = [{"name": name, "title": load(name)["title"], "description": load(name)["description"]} for name in names()]
    if form == "json":
        click.echo(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    for entry in listed:
        click.echo(f"{entry['name']:<16} {entry['description']}")


def _named(kind: str) -> str:
    """Return the name of a schema, however its kind is written; raise `InputError` with a hint if there is none."""
    name = kind.lower().removesuffix(".schema.json")
    if name in names():
        return name
    close = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names())}"
    message = f"no schema is called {kind[:80]!r}; {hint}"
    raise InputError(message)
