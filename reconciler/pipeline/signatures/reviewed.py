"""What came of looking at signatures, apart from what looks: most checks look at none, and are spared its imports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.pipeline.acceptance.corpus import Corpus
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.signatures.switch import is_required

if TYPE_CHECKING:
    from reconciler.pipeline.signatures.doubts import Doubts


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Who signed the commits of a range, and what is refused because of it.

    `required` is False where signatures are off: then nothing was looked at, and nothing is refused. `signers` names the
    signer (`ana`, `shop/bob`) of each commit whose signature holds, by its id. `findings` are of rules `signatures/…`, one a
    file, and go to `decide` as `Facts.signatures`. `doubts` are the same for the next range, by file. `trial` says that the
    head was taken for a merge that a forge made to try it.
    """

    required: bool
    signers: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    doubts: "Doubts" = field(default_factory=dict)
    trial: bool = False


def required(base: Corpus, pinned: tuple[Document, ...] = ()) -> bool:
    """Return whether signatures are on for changes of this accepted state: it says so in `ordain.yaml`, or signers are pinned."""
    return bool(pinned) or is_required(base.repository)
