"""Which rules a `policy` command is about: those of a fleet repository at a path, or those that ordain brings."""

import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import click

from agent.protocol.errors import InputError
from reconciler.cli.report.text import block
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import REPOSITORY_FILE, DirectoryTree, Document, Layout, layout_of, parse_file
from reconciler.pipeline.policy.judge import Judge, JudgeRefused, Rule, load
from reconciler.pipeline.policy.library import BUILT_IN
from reconciler.pipeline.positions import verdict
from reconciler.pipeline.tree import EMPTY, Tree
from reconciler.publication.times import stamp
from reconciler.resources import directory

REFUSED, UNJUDGED = 1, 3
FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How it is printed.")
OPA = click.option("--opa", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ORDAIN_OPA", help="OPA binary to use.")
PATH = click.argument("path", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
REPOSITORY = click.argument("path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A fleet repository's files, its Repository manifest (None where it can't be read), and how that says it is read.

    `path` is None for the rules that ordain brings.
    """

    path: Path | None
    tree: Tree
    repository: Document | None
    layout: Layout

    def read(self, file: str) -> bytes:
        """Return the bytes of a file that a finding names, be it ordain's own; raise `KeyError` if there is none."""
        if not file.startswith(BUILT_IN):
            return self.tree.read(file)
        try:
            return (directory("policies") / file.removeprefix(BUILT_IN)).read_bytes()
        except OSError as error:
            raise KeyError(file) from error


def place_of(path: Path | None) -> Place:
    """Return the fleet repository at `path`, ordain's own rules where there is no path; raise `InputError` where none is there."""
    if path is None:
        if Path(REPOSITORY_FILE).is_file():
            click.echo("note: these are ordain's own rules; name this directory, `.`, for those of the fleet repository in it", err=True)
        return Place(path=None, tree=EMPTY, repository=None, layout=layout_of(None))
    file = path / REPOSITORY_FILE
    if not file.is_file():
        message = f"{path} is no fleet repository: it has no {REPOSITORY_FILE}; name the root of one"
        raise InputError(message)
    documents = parse_file(REPOSITORY_FILE, file.read_bytes()).documents
    repository = next((document for document in documents if document.kind == "Repository"), None)
    return Place(path=path, tree=DirectoryTree(path), repository=repository, layout=layout_of(repository))


def judge_of(place: Place, opa: Path) -> Judge:
    """Return the judge of a fleet repository with today's levels; where its rules don't compile, say where, and exit with 1."""
    try:
        judge = load(place.tree, place.repository.value if place.repository else None, place.layout, opa=opa)
        return judge.on(stamp(datetime.now(tz=UTC)))
    except JudgeRefused as refusal:
        click.echo("\n".join(shown(refusal.findings, place)), err=True)
        sys.exit(REFUSED)


def shown(findings: Iterable[Finding], place: Place) -> list[str]:
    """Return findings for people, each with its line, a caret and a remedy."""
    return [block(verdict(finding, place.read)) for finding in findings]


def rule_of(judge: Judge, name: str) -> Rule:
    """Return the rule of an id, of its end (`not-in-tmp`) where only one ends so, or of a file.

    Raises:
        InputError: there is no such rule, with those that are nearly called so.
    """
    if name in judge.rules:
        return judge.rules[name]
    named = name.removeprefix("./")
    found = [rule for rule in judge.rules.values() if rule.id.endswith(f"/{named}") or _is_at(rule, named)]
    if len(found) == 1:
        return found[0]
    close = [rule.id for rule in found] or difflib.get_close_matches(name, list(judge.rules), n=1, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "`ordain policy list` names them all"
    message = f"no rule is called {name[:80]!r}; {hint}"
    raise InputError(message)


def _is_at(rule: Rule, named: str) -> bool:
    """Return whether a file or directory, as a person types it, is where a rule lies."""
    if rule.file.startswith(BUILT_IN):
        return False
    file = PurePosixPath(rule.file)
    return any(typed == f"{where}" or typed.endswith(f"/{where}") for typed in [named.rstrip("/")] for where in (file, file.parent))
