"""Which keys signed which commits: verified once for a set of signers, a few at a time, and remembered."""

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import pygit2
from pygit2.enums import ObjectType

from agent.protocol.codec import sha256
from agent.protocol.errors import MalformedError
from reconciler.pipeline.signatures.keys import CommitSignature, commit_signature
from reconciler.pipeline.signatures.programs import Keyring, NotVerified, verify_ssh
from reconciler.pipeline.signatures.signers import SignerSet
from reconciler.pipeline.source.directories import read_object

AT_ONCE = 4
"""Verifications at a time: each is a process of its own, and a small machine has two cores for all that it does."""
KEPT = 20_000
"""Answers that are remembered, the newest: twice the commits that one round looks at, of 200 bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Who signed a commit: the names of credentials, or why nobody did (`unsigned` where there is no signature at all)."""

    names: tuple[str, ...] = ()
    why: str = ""
    unsigned: bool = False


class Verifier:
    """Verifies commits by sets of signers. It keeps a gpg home while it is open; `close` removes it."""

    def __init__(self) -> None:
        """Nothing is started before there is something to verify."""
        self._known: OrderedDict[tuple[str, str], Answer] = OrderedDict()
        self._ring: Keyring | None = None
        self._ring_of = ""
        self.asked = 0
        """Signatures that a program was asked about."""

    def close(self) -> None:
        """Remove what is on disk."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def verify(self, repository: pygit2.Repository, commits: Sequence[str], signers: SignerSet, now: datetime) -> dict[str, Answer]:
        """Return who signed each of these commits, by commit.

        Raises:
            RetryError: ssh-keygen or gpg is needed and can't be run.
            MalformedError: a commit is not in the repository, or damaged.
        """
        digest = sha256("\n".join([*sorted(signers.ssh), *signers.gpg]).encode())
        found: dict[str, Answer] = {}
        left: dict[str, CommitSignature] = {}
        for sha in commits:
            known = self._known.get((sha, digest)) or _at_sight(repository, sha)
            if isinstance(known, Answer):
                found[sha] = known
            else:
                left[sha] = known
        found |= self._ask(left, signers, digest, now)
        self._keep(found, digest)
        return found

    def _ask(self, left: dict[str, CommitSignature], signers: SignerSet, digest: str, now: datetime) -> dict[str, Answer]:
        if not left:
            return {}
        ring = self._ring_for(signers, digest) if any(one.kind == "gpg" for one in left.values()) else None
        known = signers.ssh
        self.asked += len(left)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="signatures") as pool:
            answers = pool.map(lambda one: _answer(one, known, ring, now), left.values())
            return dict(zip(left, answers, strict=True))

    def _ring_for(self, signers: SignerSet, digest: str) -> Keyring:
        if self._ring is None or self._ring_of != digest:
            self.close()
            self._ring, self._ring_of = Keyring(signers.gpg), digest
        return self._ring

    def _keep(self, found: dict[str, Answer], digest: str) -> None:
        for sha, answer in found.items():
            self._known[sha, digest] = answer
        while len(self._known) > KEPT:
            self._known.popitem(last=False)


def _at_sight(repository: pygit2.Repository, sha: str) -> Answer | CommitSignature:
    """Return the signature to verify, or the answer where none is needed."""
    data = read_object(repository, sha, ObjectType.COMMIT)
    try:
        signature = commit_signature(data)
    except MalformedError as error:
        return Answer(why=f"is {error}")
    return signature or Answer(why="is missing", unsigned=True)


def _answer(signature: CommitSignature, known: dict[str, bytes], ring: Keyring | None, now: datetime) -> Answer:
    try:
        if signature.kind == "ssh":
            return Answer(names=(verify_ssh(signature, known),))
        if ring is None:
            return Answer(why="is by a key that no signer states")
        primary = ring.verify(signature, now)
    except NotVerified as refused:
        return Answer(why=str(refused))
    return Answer(names=tuple(sorted(ring.owners.get(primary, ()))))
