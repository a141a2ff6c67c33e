"""Agent manifests put into a working copy: new files alone, nothing overwritten, at most one commit of just these files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.protocol.errors import InputError, RetryError
from reconciler.inventory import commit as commits
from reconciler.inventory.hosts import HOSTS_LIMIT, Found, Host, Note, looked_up, named
from reconciler.inventory.vouching import Vouched, vouched
from reconciler.inventory.working_copy import corpus_of
from reconciler.pipeline.acceptance.corpus import Corpus, read_content
from reconciler.pipeline.compile.index import MEMBER, TENANT
from reconciler.pipeline.waivers.writing import written

EDITOR_SCHEMA = ".ordain/schemas/agent.schema.json"
"""Where a repository that `ordain init` made keeps what editors check manifests with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A host that asked to join and that git does not know: `agent` is the name that it asked for, `facts` what it said of itself.

    `how` is by what it asked, as the registry says it (see `vouching`).
    """

    tenant: str
    agent: str
    how: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of writing: paths relative to the fleet repository (also where nothing was written, in a dry run), and notes.

    `commit` is empty where none was made.
    """

    files: tuple[str, ...]
    notes: tuple[Note, ...] = ()
    commit: str = ""


def write_hosts(repository: Path, tenant: str, found: Found, *, dry_run: bool = False, commit: str = "") -> Written:
    """Write a manifest for each host of a list that has none; with `commit`, its message, commit these files and nothing else.

    Raises:
        InputError: no fleet repository, no such tenant there, more hosts than one list may have, or no git repository to commit to.
        RetryError: a file can't be written, or git refuses the commit.
    """
    corpus = corpus_of(repository)
    files, notes = _planned(repository, corpus, tenant, found)
    return _put(repository, files, notes, dry_run=dry_run, commit=commit)


def write_pending(
    repository: Path,
    entries: Sequence[Pending],
    *,
    labels: Mapping[str, str] | None = None,
    dry_run: bool = False,
    commit: bool = True,
) -> Written:
    """Write the manifests of hosts that asked to join, of any tenants, as one commit.

    Labels decide what a host gets, and what it says of itself is only claimed: so `labels` (label → dotted path of a fact, such as
    {"os": "os.id"}) is empty unless somebody asks for it. `repository` is a fleet repository in a working copy.

    Raises as `write_hosts`.
    """
    corpus = corpus_of(repository)
    planned: list[tuple[str, bytes]] = []
    notes: list[Note] = []
    for tenant in sorted({one.tenant for one in entries}):
        index = corpus.world.tenant(tenant)
        hosts = [_host(one, labels or {}, vouched(index, one.how)) for one in entries if one.tenant == tenant]
        if index.get(TENANT, tenant) is None:
            notes += [Note(name=one.name, what=f"tenant {tenant} is not in this repository", left_out=True) for one in hosts]
            continue
        notes += [note for one in entries if one.tenant == tenant for note in _untold(one, labels or {})]
        files, said = _planned(repository, corpus, tenant, named(hosts))
        planned += files
        notes += said
    count = len(planned)
    message = f"{'A host' if count == 1 else f'{count} hosts'} that asked to join" if commit else ""
    return _put(repository, planned, notes, dry_run=dry_run, commit=message)


def _untold(entry: Pending, labels: Mapping[str, str]) -> Iterator[Note]:
    for key, path in labels.items():
        if not looked_up(entry.facts, path):
            yield Note(name=entry.agent, what=f"it says nothing of {path}, so it gets no label {key}")


def _host(entry: Pending, labels: Mapping[str, str], word: Vouched | None) -> Host:
    wanted = {key: looked_up(entry.facts, path) for key, path in labels.items()}
    return Host(name=entry.agent, labels={key: value for key, value in wanted.items() if value}, vouched=word)


def _planned(repository: Path, corpus: Corpus, tenant: str, found: Found) -> tuple[list[tuple[str, bytes]], list[Note]]:
    """Return the files to write with their contents, and notes on all that will not be as the list has it."""
    index = corpus.world.tenant(tenant)
    if index.get(TENANT, tenant) is None:
        known = ", ".join(corpus.world.names[:5]) or "none yet"
        message = f"{repository}: it has no tenant {tenant} (it has {known}); a new one begins with its Tenant manifest"
        raise InputError(message)
    if len(found.hosts) > HOSTS_LIMIT:
        message = f"{len(found.hosts)} hosts, more than {HOSTS_LIMIT} at once; split the list"
        raise InputError(message)
    files: list[tuple[str, bytes]] = []
    notes = list(found.notes)
    for host in found.hosts:
        path = f"{corpus.layout.tenants}/{tenant}/agents/{host.name}.yaml"
        standing = index.get(MEMBER, host.name)
        if standing is not None:
            notes.append(Note(name=host.name, what=f"it is there already, in {standing.path}", left_out=True))
            continue
        text = "\n".join(_lines(repository, tenant, host, path)) + "\n"
        refused = _refused(corpus, path, text.encode())
        if refused or (repository / path).exists():
            notes.append(Note(name=host.name, what=refused or f"{path} is there already, and is not this agent's", left_out=True))
            continue
        files.append((path, text.encode()))
    return files, notes


def _refused(corpus: Corpus, path: str, data: bytes) -> str:
    """Return why a manifest would be refused by itself; empty where it would not."""
    file = read_content(path, data, corpus.layout)
    return next((one.message for one in file.findings if one.action == "deny"), "")


def _lines(repository: Path, tenant: str, host: Host, path: str) -> Iterator[str]:
    if (repository / EDITOR_SCHEMA).is_file():
        yield f"# yaml-language-server: $schema={'../' * path.count('/')}{EDITOR_SCHEMA}"
    yield "apiVersion: ordain.dev/v1"
    yield "kind: Agent"
    yield "metadata:"
    yield f"  name: {_scalar(host.name)}"
    yield f"  tenant: {_scalar(tenant)}"
    if host.labels:
        pairs = ", ".join(f"{written(key)}: {_scalar(value)}" for key, value in sorted(host.labels.items()))
        yield f"  labels: {{{pairs}}}"
    if not (host.description or host.vouched):
        yield "spec: {}"
        return
    yield "spec:"
    if host.description:
        yield f"  description: {json.dumps(host.description, ensure_ascii=False)}"
    if host.vouched:
        word = {name: json.dumps(getattr(host.vouched, name), ensure_ascii=False) for name in ("issuer", "audience", "subject")}
        yield "  enrolment:"
        yield "    platforms:"
        yield f"      - issuer: {word['issuer']}"
        yield f"        audience: {word['audience']}"
        yield f"        claims: {{sub: [{word['subject']}]}}"


def _scalar(text: str) -> str:
    """Return text as YAML that stays text: names such as web-01 as they are, what reads as a number or a truth value in quotes."""
    stays = text[:1].isalpha() and text.replace("-", "").isalnum() and text.isascii()
    return written(text) if not stays or text.isalpha() else text


def _put(repository: Path, files: Sequence[tuple[str, bytes]], notes: Sequence[Note], *, dry_run: bool, commit: str) -> Written:
    done = Written(files=tuple(path for path, _ in files), notes=tuple(notes))
    if dry_run or not files:
        return done
    if commit:
        commits.require_git(repository)
    root = repository.resolve()
    try:
        for path, data in files:
            _create(root / path, data)
    except OSError as error:
        message = (
            f"{error.filename or repository}: {error.strerror or error}; what was written before it stays, and is passed over next time"
        )
        raise RetryError(message) from error
    return replace(done, commit=commits.make(repository, done.files, commit) if commit else "")


def _create(target: Path, data: bytes) -> None:
    """Write a new file; raise `InputError` where a link would lead out of the repository, and `OSError` where something is there."""
    if target.parent.resolve() != target.parent:
        message = f"{target.parent} leads elsewhere by a symbolic link; manifests are written into the repository itself"
        raise InputError(message)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        file.write(data)
