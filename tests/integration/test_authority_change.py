"""A change of authority under real TLS clients: a few move first, then all, or back; and nobody is cut off at any point."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.protocol.identity import AgentName
from reconciler.control.authority.change import FORMAT, Change
from reconciler.control.authority.rotation import SERVER_FOLLOWS, Terms, next_change
from reconciler.control.registry.trials import Tally
from reconciler.publication.times import stamp
from tests import zone_cases
from tests.authority_cases import certify_next
from tests.zone_cases import Host, Site

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TERMS = Terms(share=10, within=timedelta(hours=24), threshold=95)
IDLE = Change(format=FORMAT, current=1, server=1)
TRIED = msgspec.structs.replace(IDLE, candidate=2, share=10, began=stamp(NOW))
OVER = NOW + timedelta(hours=25)
PATIENCE = 240.0
T = TypeVar("T")


def decided(change: Change, tally: Tally, now: datetime = NOW, newest: int = 2) -> Change:
    return next_change(change, newest=newest, tally=tally, terms=TERMS, now=now)


# What is decided


def test_a_newer_generation_is_tried_and_one_that_was_taken_back_is_not_again() -> None:
    assert decided(IDLE, Tally()) == TRIED
    assert decided(msgspec.structs.replace(IDLE, refused=[2]), Tally()).candidate == 0
    assert decided(IDLE, Tally(), newest=1) == IDLE


def test_a_trial_goes_on_while_hosts_come_back_and_ends_in_being_for_all() -> None:
    assert decided(TRIED, Tally(issued=20, used=19, overdue=1)) == TRIED
    after = decided(TRIED, Tally(issued=20, used=19, overdue=1), OVER)
    assert (after.current, after.candidate, after.server, after.promoted) == (2, 0, 1, stamp(OVER))


def test_a_trial_is_taken_back_as_soon_as_too_many_stay_away() -> None:
    after = decided(TRIED, Tally(issued=20, used=4, overdue=1))
    assert (after.current, after.candidate, after.refused) == (1, 0, [2])


def test_one_host_that_stays_away_decides_nothing_before_the_end() -> None:
    assert decided(TRIED, Tally(issued=1, overdue=1)) == TRIED
    assert decided(TRIED, Tally(issued=1, overdue=1), OVER).refused == [2]


def test_where_nobody_was_chosen_more_are_until_all_are() -> None:
    wider = decided(TRIED, Tally(), OVER)
    assert (wider.candidate, wider.share, wider.began) == (2, 30, stamp(OVER))
    everybody = msgspec.structs.replace(TRIED, share=100)
    assert decided(everybody, Tally(), OVER).current == 2


def test_the_server_follows_once_nobody_can_be_left_who_trusts_the_old_one_alone() -> None:
    promoted = msgspec.structs.replace(IDLE, current=2, promoted=stamp(NOW))
    assert decided(promoted, Tally(), NOW + SERVER_FOLLOWS - timedelta(days=1)).server == 1
    assert decided(promoted, Tally(), NOW + SERVER_FOLLOWS).server == 2


# What happens


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site whose trials last as many seconds as the test says that it needs."""
    seconds = getattr(request, "param", 4)
    terms = Terms(share=20, within=timedelta(seconds=seconds), grace=timedelta(seconds=seconds / 2), threshold=90)
    with zone_cases.site(tmp_path, None, terms=terms) as made:
        made.zone.talk.pacing._limits.address = lambda *_: 0.0  # type: ignore[method-assign] # noqa: SLF001 - all come from one address
        yield made


def next_generation(site: Site) -> None:
    """Hold the ceremony for another root, and other keys of the intermediates the first time."""
    certify_next(site.directory / "keys", site.store)
    site.zone.keeper.look()
    site.zone.listening.refresh()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def standing(site: Site) -> Change:
    change = site.zone.rotation.change
    assert change is not None
    return change


def everybody(hosts: Iterable[Host], does: Callable[[Host], T]) -> list[T]:
    """Have all do something, eight at a time."""
    with ThreadPoolExecutor(max_workers=8) as threads:
        return list(threads.map(does, hosts))


def renew(host: Host) -> int:
    return host.renew(ec.generate_private_key(ec.SECP256R1())).status


def gets_in(host: Host) -> bool:
    """Whether the server believes a host on a new connection, and the host the server: it is told that others do not exist for it."""
    return host.ask("GET", "/v1/agents/shop/another/fleets").code == "unknown"


def generations(site: Site, hosts: Sequence[Host]) -> list[int]:
    names = [AgentName(domain="ordain.internal", tenant="shop", agent=f"host-{number}") for number in range(len(hosts))]
    return [site.zone.keeper.generation_of(host.certificate, name) for host, name in zip(hosts, names, strict=True)]


@pytest.mark.slow  # hosts renew and come back within a trial, however slow the machine is
@pytest.mark.parametrize(("site", "number"), [(90, 200)], indirect=["site"])
def test_all_move_in_stages_and_nobody_is_cut_off(site: Site, number: int) -> None:
    hosts = [site.made(f"host-{one}", life=timedelta(hours=1)) for one in range(number)]
    until(lambda: site.zone.rotation.change is not None)
    assert all(everybody(hosts, gets_in))
    next_generation(site)
    until(lambda: standing(site).candidate == 2)
    assert set(everybody(hosts, renew)) == {201}
    chosen = generations(site, hosts).count(2)
    assert 0 < chosen < number / 2
    assert all(everybody(hosts, gets_in))
    until(lambda: standing(site).current == 2)
    assert site.zone.rotation.outcomes == {"promoted": 1}
    assert all(everybody(hosts, gets_in)), "those who have not moved yet are believed as before"
    assert set(everybody(hosts, renew)) == {201}
    assert set(generations(site, hosts)) == {2}
    assert all(everybody(hosts, gets_in))


def test_one_with_which_hosts_do_not_come_back_is_taken_back_and_nobody_is_cut_off(site: Site) -> None:
    hosts = [site.made(f"host-{one}", life=timedelta(hours=1)) for one in range(20)]
    until(lambda: site.zone.rotation.change is not None)
    next_generation(site)
    until(lambda: standing(site).candidate == 2)
    assert set(everybody(hosts, renew)) == {201}
    chosen = [host for host, generation in zip(hosts, generations(site, hosts), strict=True) if generation == 2]
    assert chosen, "and none of them comes back"
    until(lambda: standing(site).refused == [2])
    assert (standing(site).current, site.zone.rotation.outcomes) == (1, {"taken-back": 1})
    assert 0 < site.zone.rotation.seconds < PATIENCE, "from the first that stayed away on"
    assert all(everybody(hosts, gets_in)), "those with a certificate of the new one too"
    assert set(everybody(hosts, renew)) == {201}
    assert set(generations(site, hosts)) == {1}
