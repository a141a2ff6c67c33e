"""A tally that is kept says what one says that is reckoned from all hosts, whatever happens and whenever it is asked."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reconciler.control.rollout.evidence import Host, Said, Terms, tally
from reconciler.control.rollout.running import Running

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TERMS = Terms(admitted=NOON, soak=timedelta(seconds=60), timeout=timedelta(seconds=100), switched=NOON + timedelta(seconds=40))
JOINING = frozenset({"a", "b", "c"})
MOMENTS = st.integers(-50, 300).map(lambda seconds: NOON + timedelta(seconds=seconds))
SAID = st.builds(Said, result=st.sampled_from(["applied", "applied", "failed", "waiting"]), at=MOMENTS, due=st.booleans())
HOSTS = st.builds(
    Host,
    name=st.sampled_from("abcdefgh"),
    seen=st.none() | MOMENTS,
    connected=st.booleans(),
    since=st.none() | MOMENTS,
    said=st.none() | SAID,
    well=st.booleans(),
)
"""What comes to be known of a host, true or not: a verdict follows from anything."""


@given(st.lists(st.tuples(HOSTS, st.integers(0, 80), st.booleans()), max_size=40))
def test_a_kept_tally_says_what_one_of_all_hosts_says(news: list[tuple[Host, int, bool]]) -> None:
    running, known, now = Running(TERMS, JOINING), dict[str, Host](), NOON
    for host, later, asked in news:
        now += timedelta(seconds=later)
        known[host.name] = host
        running.put(host, now)
        if asked:
            hosts = [known[name] for name in sorted(known)]
            joining, admitted = running.tallies(now)
            assert admitted == tally(hosts, TERMS, now)
            assert admitted.due == tally(hosts, TERMS, now).due
            assert joining == tally([one for one in hosts if one.name in JOINING], TERMS, now)
