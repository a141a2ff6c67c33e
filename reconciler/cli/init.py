"""`ordain init`: a fleet repository that passes, to start from.

It is built aside and renamed into place, so that what fails leaves nothing behind; `ordain.yaml` comes last.
"""

import json
import tempfile
from pathlib import Path

import click
import pygit2

from agent.protocol.errors import InputError, RetryError
from reconciler.pipeline.manifests import REPOSITORY_FILE
from reconciler.pipeline.validation import KINDS
from reconciler.resources import directory

STARTER = Path(__file__).resolve().parent / "starter"
"""The files of a new repository, but for the schemas."""
EDITOR_SCHEMAS = ".ordain/schemas"
"""Where the line `# yaml-language-server: $schema=…` at the top of each manifest leads."""
BRANCH = "main"


@click.command()
@click.argument("target", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--no-git", is_flag=True, help="Only write the files: no repository and no first commit.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def init(target: Path, no_git: bool, form: str) -> None:  # noqa: FBT001 - click passes options by keyword
    """Make a fleet repository in DIR that passes: a tenant, an agent, a component, a fleet, and a rule with its test.

    DIR must be empty or not there yet.

    \b
    Example:
      ordain init my-fleets
    """
    _require_empty(target)
    commit = make(target, commit=not no_git)
    files = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file() and ".git" not in path.parts)
    if form == "json":
        click.echo(json.dumps({"path": str(target), "commit": commit, "files": files}, indent=2))
        return
    for name in files:
        click.echo(target / name)
    click.echo(_next_steps(target, commit), err=True)


def _require_empty(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()):
        message = f"{target} is not empty; name a directory that is, or one that does not exist"
        raise InputError(message)


def make(target: Path, *, commit: bool) -> str | None:
    """Write a new fleet repository to `target`; return its first commit, None without git.

    Raises:
        RetryError: the files can't be written there.
    """
    place = target.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".ordain-init.", dir=place if place.is_dir() else place.parent) as temporary:
            built = Path(temporary) / "repository"
            for name, source in _sources().items():
                (built / name).parent.mkdir(parents=True, exist_ok=True)
                (built / name).write_bytes(source.read_bytes())
            made = _first_commit(built) if commit else None
            _put(built, place)
    except OSError as error:
        message = f"{target}: {error.strerror or error}; choose another directory"
        raise RetryError(message) from error
    return made


def _put(built: Path, place: Path) -> None:
    """Move a finished repository to its place. A directory that exists is filled: somebody's shell may stand in it."""
    if not place.is_dir():
        built.rename(place)
        return
    for path in sorted(built.iterdir(), key=lambda path: path.name == REPOSITORY_FILE):
        path.rename(place / path.name)


def _sources() -> dict[str, Path]:
    """Return where the content of each new file comes from, by its name in the new repository."""
    starter = {path.relative_to(STARTER).as_posix(): path for path in STARTER.rglob("*") if path.is_file()}
    schemas = [f"{kind.lower()}.schema.json" for kind in KINDS]
    return starter | {f"{EDITOR_SCHEMAS}/{name}": directory("schemas") / name for name in schemas}


def _first_commit(root: Path) -> str:
    repository = pygit2.init_repository(str(root), initial_head=BRANCH)
    repository.index.add_all()
    repository.index.write()
    author = _author(repository)
    tree = repository.index.write_tree()
    return str(repository.create_commit("HEAD", author, author, "Begin a fleet repository\n", tree, []))


def _author(repository: pygit2.Repository) -> pygit2.Signature:
    """Return who git would name as author; where nobody has told git, ordain itself."""
    try:
        return repository.default_signature
    except KeyError:
        return pygit2.Signature("ordain", "ordain@localhost")


def _next_steps(target: Path, commit: str | None) -> str:
    begun = f"{target} is a fleet repository" + (f" with a first commit, {commit[:12]}." if commit else ", not yet in git.")
    return f"""
{begun} Next:

  cd {target}
  ordain check                  judge it, without any server
  ordain schema fleet           see what a fleet can say
  ordain up --repo . --state ../ordain-state --listen 127.0.0.1:8420
                                run everything on this machine
"""
