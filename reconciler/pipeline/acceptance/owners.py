"""Whether somebody could still change the judge: a repository that demands signatures keeps a policy owner."""

from collections.abc import Iterator

from reconciler.pipeline.acceptance.corpus import repository_of
from reconciler.pipeline.acceptance.proposal import Proposal
from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.manifests import REPOSITORY_FILE, SIGNERS_DIRECTORY, Document
from reconciler.pipeline.signatures.switch import is_required


def check_owners(proposal: Proposal) -> Iterator[Finding]:
    """Yield a finding where a change demands signatures, or goes on to, and leaves no policy owner in `signers/`."""
    counted = proposal.touched - proposal.doubted
    concerned = sorted(path for path in counted if path == REPOSITORY_FILE or path.startswith(SIGNERS_DIRECTORY + "/"))
    if not concerned:
        return
    stated = proposal.read.get(REPOSITORY_FILE) if REPOSITORY_FILE in counted else None
    repository = repository_of(stated) or proposal.base.repository
    if not is_required(repository) or any(_owns(document) for document in _signers(proposal)):
        return
    rule = "signatures/owner"
    blamed = REPOSITORY_FILE if REPOSITORY_FILE in concerned else concerned[0]
    yield Finding(
        action="deny",
        rule=rule,
        code=rule,
        message=f"signatures are required, and no Signer in {SIGNERS_DIRECTORY}/ is a policy owner: nobody could change the judge again",
        remedy="`ordain signers add NAME --ssh-key FILE --policy-owner` writes one",
        place=Place(file=blamed, pointer=("spec", "signatures") if blamed == REPOSITORY_FILE else ()),
        also=tuple(Place(file=path) for path in concerned if path != blamed),
        scope="across",
    )


def _signers(proposal: Proposal) -> Iterator[Document]:
    """Yield the signers that a change leaves, read or not; what signatures refuse of it changes none."""
    counted = proposal.touched - proposal.doubted
    for document in proposal.base.objects.values():
        if document.kind == "Signer" and document.path not in counted:
            yield document
    for path, file in proposal.read.items():
        yield from (document for document in file.documents if document.kind == "Signer" and path in counted)


def _owns(document: Document) -> bool:
    return document.spec.get("policyOwner") is True and document.path.startswith(SIGNERS_DIRECTORY + "/")
