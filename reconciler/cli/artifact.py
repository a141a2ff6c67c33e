"""`ordain artifact`: builds into the store, and their digests into manifests."""

import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import InputError
from reconciler import settings
from reconciler.artifacts import Published, find_component, plan_edits, put, read_builds
from reconciler.manifest_edit import edited, write
from reconciler.publication.store import PIPELINE_PREFIXES, Scoped, Store, open_store

Command = Callable[..., None]


@click.group()
def artifact() -> None:
    """Put builds into the store, from where agents fetch them.

    \b
    Example:
      ordain artifact publish dist/otelcol.tar.gz --component collector --tenant shop --state /var/lib/ordain
    """


@artifact.command()
@click.argument("files", nargs=-1, required=True, metavar="[NAME=]FILE...")
@click.option("--component", help="Component whose manifest gets the digest: its file, its name, or library/NAME.")
@click.option("--tenant", help="Tenant of the component, or, without one, who may fetch the build.")
@click.option("--platform", metavar="OS/ARCH", help="Platform that the files are for, such as linux/amd64.")
@click.option(
    "--repo", default=".", show_default=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="Fleet repository."
)
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="State directory of the reconciler, for its store.")
@click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML) that names the store.")
@click.option("--store", "url", help="Store to put builds into.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def publish(  # noqa: PLR0917 - click passes options by name
    files: tuple[str, ...],
    component: str | None,
    tenant: str | None,
    platform: str | None,
    repo: Path,
    state: Path | None,
    file: Path | None,
    url: str | None,
    form: str,
) -> None:
    """Put builds into the store under their digest, and set address, digest and size in a manifest.

    NAME is the artifact's in the component; it may be left out where there is one artifact, or one that is called like the file.
    The manifest is edited in place, everything else in it kept as it is; commit it, and the rest is a review like any other.
    What is in the store already is left as it is, so this may be run again.

    \b
    Examples:
      ordain artifact publish dist/otelcol.tar.gz --component collector --tenant shop --state /var/lib/ordain
      ordain artifact publish otelcol=dist/arm64.tar.gz --component library/collector --platform linux/arm64 --store /srv/store
    """
    store = Scoped(inner=_store(state, file, url), write=PIPELINE_PREFIXES)
    if component is None and tenant is None:
        message = "say whose it is: --component, whose manifest then gets the digest, or --tenant"
        raise InputError(message)
    builds = read_builds(files)
    if component is None:
        _say([put(store, build, tenant or "") for build in builds], [], "", form)
        return
    found = find_component(repo, component, tenant)
    old = (repo / found.path).read_bytes()
    edits, owners = plan_edits(found, builds, platform)
    new = edited(old, edits, path=found.path)
    published = [put(store, build, owner) for build, owner in zip(builds, owners, strict=True)]
    if new != old:
        write(repo / found.path, new)
    _say(published, [found.path] if new != old else [], _diff(found.path, old, new), form)


def _store(state: Path | None, file: Path | None, url: str | None) -> Store:
    if url is None and state is None:
        message = "say where the store is: --store, or --state of the reconciler"
        raise InputError(message)
    return open_store(url) if url else settings.load(file, state=state or Path()).open_store()


def _diff(path: str, old: bytes, new: bytes) -> str:
    before, after = old.decode().splitlines(keepends=True), new.decode().splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, after, fromfile=f"a/{path}", tofile=f"b/{path}"))


def _say(published: list[Published], changed: list[str], diff: str, form: str) -> None:
    if form == "json":
        shown: dict[str, Any] = {"artifacts": [one.as_json() for one in published], "changed": changed, "diff": diff}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for one in published:
        what = "stored" if one.stored else "in the store already"
        click.echo(f"{one.build.file}: {what} as {one.key} ({one.build.size} bytes)", err=True)
        if not changed and not diff:
            click.echo(f"sha256: {one.build.sha256}\nsize: {one.build.size}")
    if diff:
        click.echo(diff, nl=False)
