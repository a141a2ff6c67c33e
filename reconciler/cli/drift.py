"""`ordain drift adopt`: a change that was made by hand on a host, taken over into git on a branch of its own."""

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from agent.protocol.errors import InputError, RetryError
from reconciler.cli.evidence import Evidence, snapshot
from reconciler.cli.sources import Place, place_of
from reconciler.inventory import commit as commits
from reconciler.manifest_edit import Edit, edited
from reconciler.pipeline.compile.texts import Text
from reconciler.pipeline.why.address import Host, parse_host
from reconciler.pipeline.why.adopting import adopted
from reconciler.pipeline.why.answer import text_of
from reconciler.pipeline.why.landing import held_by, landings
from reconciler.pipeline.why.values import values_of
from reconciler.printable import printable

CONTENT_LIMIT = 1_048_576
"""Bytes of a file that is adopted: what a manifest may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A file of the fleet repository with what it is to say."""

    file: str
    data: bytes
    component: str


@click.group()
def drift() -> None:
    """Changes that were made by hand on hosts.

    \b
    Example:
      ordain drift adopt shop/web-01 /etc/app/app.conf --content app.conf --repo fleets
    """


@drift.command()
@click.argument("agent", metavar="TENANT/AGENT")
@click.argument("path")
@click.option(
    "--content", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The file as it is on the host."
)
@click.option(
    "--repo", default=".", show_default=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="Fleet repository."
)
@click.option("--branch", help="Branch to make.  [default: drift/TENANT-AGENT-FILE]")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def adopt(agent: str, path: str, *, content: Path, repo: Path, branch: str | None, form: str) -> None:
    """Take a file as it is on a host over into the component that it comes from, on a new branch from HEAD.

    Hosts report digests and never contents, so bring the file: --content. Lines that are filled in from parameters, labels or secrets
    stay as they are written; where one of those was changed, you are told what fills it in. Comments stay, and so does your working
    copy: push the branch and open a pull request. The change is for all hosts that have this component.

    Exit codes: 0 the branch is there, 2 nothing to adopt, or it has to be done by hand, 3 git can't commit.

    \b
    Examples:
      ordain drift adopt shop/web-01 /etc/app/app.conf --content app.conf --repo fleets
      git -C fleets push origin drift/shop-web-01-app.conf
    """
    place, host = place_of(repo), parse_host(agent)
    commits.require_git(repo)
    made = _change(place, host, path, _read(content))
    name = branch or f"drift/{re.sub(r'[^A-Za-z0-9.-]+', '-', f'{agent}-{Path(path).name}').strip('.-')}"
    sha = _on_branch(place, name, made, f"Take over {path} as it is on {agent}\n\nIt was changed there by hand.")
    if form == "json":
        click.echo(json.dumps({"branch": name, "commit": sha, "file": made.file, "component": made.component}, indent=2))
        return
    click.echo(printable(f"{name}: {sha[:12]} changes {made.file}, component {made.component}"))
    click.echo(printable(f"look at it: git -C {repo} show {name}; then push it, and open a pull request"), err=True)


def _read(content: Path) -> str:
    data = content.read_bytes()
    if len(data) > CONTENT_LIMIT:
        message = f"{content}: {len(data)} bytes; an artifact carries what is larger than {CONTENT_LIMIT}"
        raise InputError(message)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        message = f"{content}: not UTF-8; put such a file into the repository as a `source` by hand"
        raise InputError(message) from error


def _change(place: Place, host: Host, path: str, content: str) -> Change:
    """Return which file of the repository says what is at a path of a host, and what it is to say."""
    with snapshot(Evidence(place=place), "HEAD") as shot:
        found = landings(held_by(shot.corpus.world, shot.corpus.tree, host), path)
        texts = [(landing, text) for landing in found if (text := text_of(landing)) is not None]
        if len(texts) != 1:
            message = f"{path} on {host} is no text of one component, which is all that can be adopted; see `ordain why {host}:{path}`"
            raise InputError(message)
        landing, text = texts[0]
        wanted = adopted(text.text, values_of(landing, host, None), content, what=path)
        data = shot.corpus.tree.read(text.source or text.document.path)
        return Change(file=_file(shot.place, text), data=_written(text, data, wanted), component=landing.part.ref)


def _written(text: Text, data: bytes, wanted: str) -> bytes:
    """Return the file that a text stands in, with another text."""
    if text.source is not None:
        return wanted.encode()
    return edited(data, [Edit(document=text.document.index, pointer=text.pointer, value=wanted)], path=text.document.path)


def _file(place: Place, text: Text) -> str:
    file = text.source or text.document.path
    return f"{place.prefix}/{file}" if place.prefix else file


def _on_branch(place: Place, branch: str, change: Change, message: str) -> str:
    """Commit a change on a new branch as the person's own git does, and leave the working copy as it is; return the commit."""
    root = Path(place.git().workdir or place.path)
    with tempfile.TemporaryDirectory(prefix="ordain-adopt-") as name:
        copy = Path(name) / "copy"
        _git(root, "worktree", "add", "--quiet", "-b", branch, str(copy), "HEAD")
        sha = ""
        try:
            (copy / change.file).write_bytes(change.data)
            sha = commits.make(copy, [change.file], message)
        finally:
            _git(root, "worktree", "remove", "--force", str(copy))
            if not sha:
                _git(root, "branch", "--delete", "--force", branch)
    return sha


def _git(root: Path, *words: str) -> None:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip()
        message = f"{said}; give another --branch" if "already exists" in said else f"git {words[0]} {words[1]}: {said}"
        raise InputError(message) if "already exists" in said else RetryError(message)
