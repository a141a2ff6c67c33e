"""People with real keys, commits that they sign, and reviews of what they did."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent

from reconciler.pipeline.acceptance import EMPTY_CORPUS
from reconciler.pipeline.acceptance.corpus import load, read_layout
from reconciler.pipeline.accepted import Doubt
from reconciler.pipeline.manifests import Document, parse_file
from reconciler.pipeline.signatures.review import Review, review
from reconciler.pipeline.signatures.verifier import Verifier
from reconciler.pipeline.source import CommitTree, diff_trees, open_repository
from tests.acceptance_cases import REPOSITORY
from tests.source_cases import WorkingCopy

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BEFORE = "20261120T000000!"
"""When OpenPGP keys and signatures are made: gpg refuses those from the future, seen from the decision."""
REQUIRED = REPOSITORY + "  signatures: {required: true}\n"
CO_SIGNED = REPOSITORY + '  signatures: {required: true, coSigned: ["policies/**", ordain.yaml]}\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a key: `options` make git sign with it, `key` is how a Signer manifest states it."""

    name: str
    options: tuple[str, ...]
    key: str

    def git(self, copy: WorkingCopy, *arguments: str) -> str:
        """Run git as this person, who signs all commits."""
        return copy.git(*self.options, *arguments)

    def commit(self, copy: WorkingCopy, message: str, files: dict[str, str | None]) -> str:
        """Commit files, signed; return the commit."""
        return copy.commit(message, files, options=(*self.options, "-c", "commit.gpgsign=true"))

    def merge(self, copy: WorkingCopy, *branches: str) -> str:
        """Merge branches into what is checked out, signed; return the merge."""
        self.git(copy, "merge", "--quiet", "--no-ff", "--gpg-sign", "-m", "merge", *branches)
        return copy.git("rev-parse", "HEAD")


def with_ssh(name: str, directory: Path) -> Person:
    """Return somebody with a new SSH key."""
    file = directory / f"{name}.key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(file)], check=True)
    options = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={file}")
    return Person(name=name, options=options, key=f"ssh: {file.with_suffix('.key.pub').read_text().strip()}")


def with_gpg(name: str, directory: Path, *, expires: str = "never", revoked: bool = False) -> Person:
    """Return somebody with a new OpenPGP key in a keyring of their own; what is handed out of it may be `revoked`."""
    home = directory / f"{name}.gnupg"
    home.mkdir(mode=0o700)
    run = ("gpg", "--homedir", str(home), "--faked-system-time", BEFORE, "--batch", "--quiet", "--passphrase", "")
    subprocess.run([*run, "--quick-gen-key", f"{name}@example.com", "ed25519", "sign", expires], check=True, capture_output=True)
    block = subprocess.run([*run, "--armor", "--export"], check=True, capture_output=True).stdout.decode()
    if revoked:
        block = _revoked(run, home, directory / f"{name}.others")
    program = directory / f"{name}.gpg"
    program.write_text(f'#!/bin/sh\nexec gpg --homedir {home} --faked-system-time {BEFORE} --batch "$@"\n')
    program.chmod(0o700)
    options = ("-c", f"gpg.program={program}", "-c", f"user.signingkey={name}@example.com")
    return Person(name=name, options=options, key="gpg: |\n" + indent(block, "          "))


def _revoked(run: tuple[str, ...], home: Path, other: Path) -> str:
    """Return a key with its revocation: taken in where it is handed out, so that its owner can go on signing with it."""
    other.mkdir(mode=0o700)
    elsewhere = [part if part != str(home) else str(other) for part in run]
    exported = subprocess.run([*run, "--export"], check=True, capture_output=True).stdout
    [certificate] = (home / "openpgp-revocs.d").iterdir()
    revocation = certificate.read_text().replace(":-----BEGIN", "-----BEGIN").encode()
    for data in (exported, revocation):
        subprocess.run([*elsewhere, "--import"], check=True, capture_output=True, input=data)
    return subprocess.run([*elsewhere, "--armor", "--export"], check=True, capture_output=True).stdout.decode()


def signer(person: Person, spec: str, *, tenant: str = "", name: str = "", more: str = "") -> str:
    """Return a Signer manifest: `spec` in lines of its own, `more` beside the key (`until: …`)."""
    owner = f", tenant: {tenant}" if tenant else ""
    text = f"apiVersion: ordain.dev/v1\nkind: Signer\nmetadata: {{name: {name or person.name}{owner}}}\nspec:\n  keys:\n"
    key = f"    - {person.key.rstrip()}\n" + (f"      {more}\n" if more else "")
    return text + key + indent(spec.rstrip(), "  ") + "\n"


def owner(person: Person) -> str:
    """Return the manifest of a policy owner."""
    return signer(person, "policyOwner: true")


def within(person: Person, *paths: str, kinds: str = "", tenant: str = "", more: str = "", role: str = "person") -> str:
    """Return the manifest of somebody who may touch some paths."""
    kind = f", kinds: [{kinds}]" if kinds else ""
    return signer(person, f"role: {role}\nmay:\n  - {{paths: [{', '.join(paths)}]{kind}}}", tenant=tenant, more=more)


def reviewed(
    copy: WorkingCopy,
    base: str | None,
    head: str = "HEAD",
    *,
    accepted: str | None = None,
    now: datetime = NOW,
    known: dict[str, Doubt] | None = None,
    pinned: tuple[Document, ...] = (),
    verifier: Verifier | None = None,
    trial: bool = False,
) -> Review:
    """Return the review of what `head` has and `base` has not; `accepted` is the accepted tree where it is not that of `base`."""
    repository = open_repository(copy.path)
    head = copy.git("rev-parse", head)
    corpus = load(CommitTree(repository, copy.git("rev-parse", accepted or base))) if base else EMPTY_CORPUS
    tree = CommitTree(repository, head)
    before = corpus.tree.oid if isinstance(corpus.tree, CommitTree) else None
    return review(
        repository,
        corpus,
        head,
        since=copy.git("rev-parse", base) if base else None,
        changed=diff_trees(repository, before, tree.oid),
        layout=read_layout(tree),
        now=now,
        known=known,
        pinned=pinned,
        verifier=verifier,
        trial=trial,
    )


def refused(found: Review) -> dict[str, str]:
    """Return the rule by which each file is refused."""
    return {one.place.file: one.rule.removeprefix("signatures/") for one in found.findings}


def documents(text: str) -> tuple[Document, ...]:
    """Return manifests as documents, as settings pin them."""
    return parse_file("signers.yaml", text.encode()).documents
