"""Whom the control plane counts in a wave is whom it lets in: the hosts that admit themselves by the document that it publishes."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from agent.following import admission
from agent.protocol import membership
from agent.protocol.rollout import Release
from reconciler.control.conduct.planning import Asked, Plan, admitted
from reconciler.control.rollout.document import document_of
from reconciler.control.rollout.progress import Candidate, Progress
from reconciler.rollouts.strategy import WHOLE, Step, Strategy
from reconciler.rollouts.waves import Member, waves

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OLD, NEW = Release(digest="a" * 64, members=1), Release(digest="b" * 64, members=2)
LABELS = st.dictionaries(st.sampled_from(["canary", "region"]), st.sampled_from(["true", "eu", "us"]), max_size=2)
NAMES = st.from_regex(r"[a-h]{1,4}(/[0-9a-f]{4})?", fullmatch=True)
"""Agents, and hosts of pools."""
STEPS = st.lists(
    st.builds(Step, name=st.just("wave"), limit=st.none() | st.integers(0, WHOLE), selector=st.none() | LABELS), min_size=1, max_size=5
)


@given(st.dictionaries(NAMES, LABELS, max_size=60), STEPS, st.integers(1, 5), st.data())
def test_those_who_are_counted_are_those_who_admit_themselves(
    hosts: dict[str, dict[str, str]], steps: list[Step], attempt: int, data: st.DataObject
) -> None:
    members = [Member(name=name, labels=labels) for name, labels in sorted(hosts.items())]
    strategy = Strategy(steps=tuple(steps))
    planned = waves(strategy, members, candidate=NEW.digest, attempt=attempt)
    last = data.draw(st.integers(0, len(planned) - 1))
    held = data.draw(st.sets(st.sampled_from(sorted(hosts)))) if hosts else set[str]()
    wave, before = planned[last], planned[last - 1] if last else None
    progress = Progress(
        phase="applying",
        stable=OLD,
        candidate=Candidate(release=NEW, commit="", decision=1, at=""),
        attempt=attempt,
        wave=last,
        selectors=[dict(selector) for selector in wave.selectors],
        bound=wave.bound,
        held=sorted(held),
    )
    asked = Asked(fleet="shop/web", name=NEW.digest, attempt=attempt, release=NEW, strategy=strategy)
    counted = admitted(Plan(asked=asked, members=members, waves=planned, made_at=NOW, until=NOW), progress, before)
    document = document_of(None, progress, [], fleet="shop/web", epoch=1, now=NOW)

    def takes(name: str, labels: dict[str, str]) -> bool:
        listed = membership.Member(group="all", labels=labels)
        try:
            return admission.choose(document, agent=name, now=document.not_before, member=lambda _: listed).release == NEW
        except admission.WaitingError:
            return False

    assert set(counted.names) == {name for name, labels in hosts.items() if takes(name, labels)}
    assert counted.joining <= set(counted.names)
    assert set(counted.names) - counted.joining == {name for wave in planned[:last] for name in wave.joining} - held
    assert wave.reached == len(counted.names) + len({name for earlier in planned[: last + 1] for name in earlier.joining} & held)
