"""`ordain signers`: who may change what, writing one down, and looking again at who signed what."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import InputError
from reconciler.cli.known_tenants import require_tenant
from reconciler.cli.progress import Progress
from reconciler.cli.signer_manifest import Wanted, manifest
from reconciler.cli.sources import Place, base_of, head_of, place_of
from reconciler.pipeline.acceptance.corpus import Corpus, load, read_layout
from reconciler.pipeline.manifests import SIGNERS_DIRECTORY
from reconciler.pipeline.signatures.inforce import in_force
from reconciler.pipeline.signatures.programs import primaries_of
from reconciler.pipeline.signatures.review import Review, required, review, signers_of
from reconciler.pipeline.signatures.signers import Credential, Principal
from reconciler.pipeline.signatures.since import Since, turned_on
from reconciler.pipeline.source import commits_between, descends
from reconciler.pipeline.tree import difference
from reconciler.printable import printable
from reconciler.publication.times import stamp

SHORT = 12
"""Characters of a commit on a terminal; JSON has all of them."""
FILES_SHOWN = 5
"""Files of one commit on a terminal; JSON has all of them."""
_place = click.argument("path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
_format = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.group()
def signers() -> None:
    """See who may change what, add somebody, and look again at who signed what.

    \b
    Example:
      ordain signers list my-fleets
    """


@signers.command("list")
@_place
@click.option("--rev", help="As of this revision instead of the files as they are.")
@_format
def list_(path: Path, rev: str | None, form: str) -> None:
    """List the signers of a fleet repository, with their keys and what they may touch.

    \b
    Example:
      ordain signers list my-fleets
    """
    tree, _ = head_of(place_of(path), rev)
    corpus, now = load(tree), datetime.now(UTC)
    found = sorted(signers_of(corpus).principals.values(), key=lambda one: one.name)
    if form == "json":
        click.echo(json.dumps({"required": required(corpus), "signers": [_plain(one, now) for one in found]}, indent=2, ensure_ascii=False))
        return
    click.echo(f"signatures are {'on' if required(corpus) else 'off: ordain.yaml does not say signatures: {required: true}'}")
    for one in found:
        click.echo(f"{one.name}: {may(one)}")
        for key in one.credentials:
            click.echo(f"  {_key(key)}" + (f"  counts for nothing: {key.refusal(now)}" if key.refusal(now) else _until(key)))


def _plain(one: Principal, now: datetime) -> dict[str, Any]:
    keys = [{"key": _key(key), "until": stamp(key.end) if key.end else None, "why": key.refusal(now) or None} for key in one.credentials]
    grants = [{"paths": list(grant.paths), "kinds": sorted(grant.kinds) if grant.kinds is not None else None} for grant in one.grants]
    file = one.document.path
    return {"name": one.name, "role": one.role, "policyOwner": one.owner, "file": file, "keys": keys, "may": grants}


def may(one: Principal) -> str:
    """Return in words what somebody may touch."""
    if one.owner:
        return "policy owner, may touch everything"
    if one.role == "forge":
        return "forge, may merge what others signed"
    grants = [" ".join(grant.paths) + (f" ({', '.join(sorted(grant.kinds))})" if grant.kinds is not None else "") for grant in one.grants]
    return f"{one.role}, may touch {', '.join(grants)}"


def _key(key: Credential) -> str:
    return f"ssh {key.name}" if key.kind == "ssh" else "gpg " + " ".join(primaries_of(key.name) or ["that can't be read"])


def _until(key: Credential) -> str:
    return f"  until {stamp(key.end)}" if key.end else ""


@signers.command()
@click.argument("name")
@_place
@click.option("--tenant", help="A signer of this tenant alone. [default: of the whole repository]")
@click.option("--ssh-key", "ssh", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A .pub file.")
@click.option(
    "--gpg-key", "gpg", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An armoured public key."
)
@click.option("--paths", multiple=True, help="A pattern of paths that its commits may touch; may be given again.")
@click.option("--kinds", multiple=True, help="Only files of this kind; may be given again.")
@click.option("--until", help="When its keys end: 2027-11-30 or 2027-11-30T00:00:00Z.")
@click.option("--role", type=click.Choice(["person", "bot", "forge"]), default="person", show_default=True)
@click.option("--policy-owner", "owner", is_flag=True, help="It may change what judges, and with that anything.")
@click.option("--stdout", is_flag=True, help="Print the manifest instead of writing its file.")
def add(name: str, path: Path, *, tenant: str | None, stdout: bool, **stated: Any) -> None:
    """Write a Signer manifest, ready to be committed by somebody who may.

    \b
    Examples:
      ordain signers add ana --ssh-key ~/.ssh/id_ed25519.pub --policy-owner
      ordain signers add bob --tenant shop --ssh-key bob.pub --paths 'tenants/shop/**'
    """
    tree, _ = head_of(place_of(path), None)
    layout = read_layout(tree)
    if tenant:
        require_tenant(tree, tenant)
    inside = Path(layout.tenants, tenant, SIGNERS_DIRECTORY) if tenant else Path(SIGNERS_DIRECTORY)
    place = inside / f"{name}.yaml"
    text = manifest(Wanted(name=name, tenant=tenant or "", tenants=layout.tenants, **stated), str(place))
    if stdout:
        click.echo(text, nl=False)
        return
    if (path / place).exists():
        message = f"{path / place} is there already; edit it, or choose another name"
        raise InputError(message)
    (path / inside).mkdir(parents=True, exist_ok=True)
    (path / place).write_text(text)
    click.echo(path / place)


@signers.command()
@click.argument("rev")
@_place
@click.option("--base", help="Only the commits since this revision, by the signers that it has.")
@_format
@click.pass_context
def check(ctx: click.Context, rev: str, path: Path, base: str | None, form: str) -> None:
    """Verify again who stands behind what is in force at REV, by the signers of today.

    The last commit of every file is looked at, from the one after that which turned signatures on. With --base every commit since
    then is, as the reconciler does when it takes them. What was published stays in force: a removed signer or an ended key shows what
    they left.

    Exit codes: 0 all is signed by somebody who may, 1 something is not, 2 wrong usage or signatures are off, 3 could not be verified.

    \b
    Examples:
      ordain signers check HEAD                     what is in force
      ordain signers check HEAD --base origin/main  what this branch brings
    """
    place = place_of(path)
    tree, revision = head_of(place, rev)
    since = None
    with Progress() as said:
        said("verifying signatures")
        if base is None:
            corpus = load(tree)
            _require_on(corpus, rev)
            since = turned_on(place.git(), str(revision), place.prefix)
            rows = _in_force(place, corpus, str(revision), since)
        else:
            rows = _since(place, base, rev)
    if form == "json":
        told = {"commit": since.commit, "earlier": since.earlier} if since is not None else None
        click.echo(json.dumps({"revision": revision, "since": told, "commits": rows}, indent=2, ensure_ascii=False))
    else:
        if since is not None:
            earlier = f"it and {since.earlier - 1:,} earlier commit{'' if since.earlier == 2 else 's'} were not looked at"  # noqa: PLR2004
            click.echo(f"commit {since.commit[:SHORT]} turned signatures on: {earlier}", err=True)
        click.echo("\n".join([*(line for row in rows for line in _lines(row)), *_summary(rows)]))
    ctx.exit(1 if any(row["refused"] for row in rows) else 0)


def _require_on(corpus: Corpus, rev: str) -> None:
    """Raise `InputError` where signatures are off: then nobody must have signed anything, and nothing is to be verified."""
    if not required(corpus):
        message = f"signatures are off at {rev}: its ordain.yaml does not say signatures: {{required: true}}, so nobody has to sign"
        raise InputError(message)


def _in_force(place: Place, corpus: Corpus, revision: str, since: Since | None) -> list[dict[str, Any]]:
    begin = since.commit if since is not None else None
    standing = in_force(place.git(), corpus, revision, now=datetime.now(UTC), since=begin, prefix=place.prefix)
    rows = [
        _row(one.commit.sha, one.commit.author, one.signer, one.files, {path: doubt.message for path, doubt in one.doubts.items()})
        for one in standing.commits
    ]
    older = dict.fromkeys(standing.older, "older than the commits that were looked at")
    return [*rows, _row("", "", "", standing.older, older)] if older else rows


def _row(sha: str, author: str, signer: str, files: Iterable[str], refused: dict[str, str]) -> dict[str, Any]:
    return {"commit": sha, "author": author, "signer": signer or None, "files": list(files), "refused": refused}


def _since(place: Place, base: str, rev: str) -> list[dict[str, Any]]:
    tree, revision = head_of(place, rev)
    start = base_of(place, base, revision)
    corpus, repository = load(start.tree), place.git()
    _require_on(corpus, base)
    if revision is None or not descends(repository, start.revision, revision):
        message = f"{rev} does not descend from {base}; name a base that is in its history"
        raise InputError(message)
    found = review(
        repository,
        corpus,
        revision,
        since=start.revision,
        changed=difference(start.tree, tree),
        layout=read_layout(tree),
        now=datetime.now(UTC),
        prefix=place.prefix,
    )
    return [
        _row(one.sha, one.author, found.signers.get(one.sha, ""), one.paths, _refused(found, one.sha))
        for one in commits_between(repository, start.revision, revision)
    ]


def _refused(found: Review, sha: str) -> dict[str, str]:
    return {path: doubt.message for path, doubt in found.doubts.items() if doubt.commit == sha}


def _lines(row: dict[str, Any]) -> Iterable[str]:
    who = f"signed by {row['signer']}" if row["signer"] else "not signed by anybody who counts"
    count = len(row["files"])
    if not count:
        yield f"{row['commit'][:SHORT]}  {who}, and it touches nothing"
        return
    what = printable(row["files"][0]) if count == 1 else f"{count} files"
    yield f"{row['commit'][:SHORT] or 'before'}  {who}  {what}"
    reasons: dict[str, list[str]] = {}
    for path, why in row["refused"].items():
        reasons.setdefault(why, []).append(printable(path))
    for why, paths in reasons.items():
        more = f" and {len(paths) - FILES_SHOWN} more" if len(paths) > FILES_SHOWN else ""
        yield f"  refused: {', '.join(paths[:FILES_SHOWN])}{more}: {printable(why)}"


def _summary(rows: Sequence[dict[str, Any]]) -> Iterable[str]:
    """Yield in one line what came of it; nothing where no file is touched."""
    files = {path for row in rows for path in row["files"]}
    refused = {path for row in rows for path in row["refused"]}
    commits = f"{len(rows):,} commit{'' if len(rows) == 1 else 's'}"
    if not rows:
        yield "there is nothing to verify"
    elif refused:
        said = "is not signed by somebody who may touch it" if len(refused) == 1 else "are not signed by somebody who may touch them"
        yield f"{len(refused):,} of {len(files):,} files {said}; {commits} looked at"
    elif files:
        yield f"all {len(files):,} files are signed by somebody who may touch them; {commits} looked at"
