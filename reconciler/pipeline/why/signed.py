"""Who signed the commits that an answer names, by the signers of the snapshot that it is about."""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime

import pygit2

from agent.protocol.errors import OrdainError
from reconciler.pipeline.acceptance.corpus import Corpus
from reconciler.pipeline.signatures.review import signers_of
from reconciler.pipeline.signatures.rights import signed_by
from reconciler.pipeline.signatures.verifier import Verifier
from reconciler.pipeline.source import CommitInfo


def signers_by_commit(
    repository: pygit2.Repository, corpus: Corpus, commits: Sequence[CommitInfo], now: datetime
) -> dict[str, tuple[str, str]]:
    """Return (signer, why nobody) for each commit; where no program can verify them here, why is that."""
    signers = signers_of(corpus)
    with closing(Verifier()) as verifier:
        try:
            answers = verifier.verify(repository, [one.sha for one in commits], signers, now)
        except OrdainError as error:
            return {one.sha: ("", f"could not be verified here: {error}") for one in commits}
    found = (signed_by(one, answers[one.sha], signers, now) for one in commits)
    return {one.commit.sha: (one.name, one.why) for one in found}
