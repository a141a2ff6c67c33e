"""What there is to report: verdicts in order, what came of them, and what their rules say of themselves."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reconciler.pipeline.finding import Action, Description, Verdict

ACTIONS: tuple[Action, ...] = ("deny", "error", "warn", "audit")
"""In the order in which they are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a check.

    `revision` is the commit that was judged (None for files as they are), `base` the one that it was compared with.
    `rules` describes the rules that judged, and every rule that a verdict names. `prefix` leads from the root of the git
    repository to that of the fleet repository: empty, or with `/` at its end. `manifests` counts those that could be read.
    """

    verdicts: tuple[Verdict, ...]
    accepted: bool
    revision: str | None = None
    base: str | None = None
    judge_changed: bool = False
    loosened: tuple[str, ...] = ()
    signatures: bool = False
    """Whether commits must be signed by who may make them, so that only policy owners change the judge."""
    trial: bool = False
    """Whether the head is a merge that nobody signed, taken for one that a forge made to try it."""
    rules: Mapping[str, Description] = field(default_factory=dict)
    prefix: str = ""
    manifests: int = 0
    looked_at: str = ""
    """What was looked at where that is not manifests: `3 rules`."""
    command: str = "check"

    @property
    def counts(self) -> Counter[Action]:
        """How many verdicts there are of each action, standing ones too."""
        return Counter(one.action for one in self.verdicts)

    @property
    def unjudged(self) -> bool:
        """Whether something could not be judged."""
        return any(one.action == "error" for one in self.verdicts)

    @property
    def word(self) -> str:
        """What came of it, in a word or two."""
        return "accepted" if self.accepted else "could not judge" if self.unjudged else "refused"

    @property
    def total(self) -> str:
        """How many manifests and verdicts there are: `12 manifests, 2 deny, 1 warn, 3 standing`."""
        fresh = Counter(one.action for one in self.verdicts if not one.mark or one.blocking)
        counted = [f"{fresh[action]} {action}" for action in ACTIONS if fresh[action]]
        waived = sum(one.waived is not None for one in self.verdicts)
        standing = len(self.verdicts) - sum(fresh.values()) - waived
        rest = [f"{count} {word}" for count, word in ((waived, "waived"), (standing, "standing")) if count]
        found = [*counted, *rest] or ["nothing found"]
        return ", ".join([self.looked_at or f"{self.manifests} manifest{'' if self.manifests == 1 else 's'}", *found])

    def path(self, one: Verdict) -> str:
        """Return a verdict's file from the root of the git repository, as forges name files."""
        return self.prefix + one.file

    def judge_notes(self) -> Iterator[str]:
        """Yield what is to be said of the judge: whether the change brings another, and what that no longer refuses."""
        if self.judge_changed:
            yield "the judge itself changes: the base's judge and the new one both judged"
        for said in self.loosened:
            yield f"loosened: {said}"
        if self.trial:
            yield "the head is a merge that nobody signed, as forges make them to try one: what it merges was judged; sign the real one"
        if self.loosened and not self.signatures:
            yield "signatures are off, so nobody looks at who may loosen the judge; see docs/signers.md"
