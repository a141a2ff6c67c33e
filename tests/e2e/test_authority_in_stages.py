"""Another certificate authority under agents that run: tried on a canary, taken back where that stays away, and then for all.

Nothing but what its page tells is typed: keys that follow, another generation, and waiting.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from agent.joining.identity import Identities
from agent.protocol.enrolment import split_pem
from tests.e2e.enrolled import Site
from tests.e2e.installation import BIN, PATIENCE, until
from tests.e2e.rollout_steps import fleet_of, release, settled

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(900), pytest.mark.slow]
LIFE, TRIAL, GRACE = 30, 45, 15
"""Seconds: certificates are renewed at half of their life, give or take a twentieth, so each host renews within a trial."""
SETTINGS = f"""\
[identity]
certificate_life = {LIFE}
[authority]
canary_labels = {{canary = "true"}}
canary_time = {TRIAL}
canary_grace = {GRACE}
"""
CANARY, OTHERS = "web-01", ("web-02", "web-03")
LONGEST = 240.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, settings=SETTINGS)
    yield made
    made.stop()


def keys(site: Site, *words: str) -> None:
    """Type `ordain keys init …` where the keys are."""
    command = [str(BIN / "ordain"), "keys", "init", "--tenant", "shop", *words]
    done = subprocess.run(command, cwd=site.state, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


def keys_that_follow(site: Site) -> None:
    """Make other keys of the intermediates."""
    keys(site, "--zone", "control", "--keys", "keys/control", "--next", "authority", "--next", "server", "--out", "public.json")


def another_generation(site: Site) -> None:
    """Hold the ceremony for another root, as docs/identity.md has it."""
    (site.state / "keys/authority/authority/root.pem").unlink()
    store = ("--import", "public.json", "--store", "store")
    keys(site, "--zone", "authority", "--keys", "keys/authority", *store, "--next-generation")


def issuers(site: Site, *hosts: str) -> list[bytes]:
    """Return by which keys these hosts' certificates are signed."""
    return [_signed_by(site, host) for host in hosts]


def _signed_by(site: Site, host: str) -> bytes:
    known = Identities(directory=site.place(host) / "identity").current()
    assert known is not None
    leaf = x509.load_pem_x509_certificate(split_pem(known.chain)[0].encode())
    return leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""


def counted(site: Site, name: str) -> str:
    """Return a metric's value as text, "" where it is not there."""
    return next((line.rpartition(" ")[2] for line in site.metrics().splitlines() if line.startswith(name)), "")


def test_one_that_loses_its_canary_is_taken_back_and_the_next_becomes_that_of_all(site: Site) -> None:
    hosts: dict[str, dict[str, str]] = {CANARY: {"canary": "true"}, **{host: {} for host in OTHERS}}
    good = site.commit(fleet_of(hosts) | release("good"))
    site.up()
    site.examined(good)
    for host in hosts:
        site.join(host)
    settled(site, good, *hosts)
    [old] = set(issuers(site, *hosts))

    keys_that_follow(site)
    another_generation(site)
    until("it is tried", lambda: counted(site, "ordain_authority_trial") == "1.0", log=site.log)
    site.cut_power(CANARY)
    dying = site.start_enrolled(CANARY, fault="joining:before-pointer")
    until("its canary has a certificate of the new one, and is gone", lambda: dying.poll() is not None, log=site.agent_log(CANARY))
    assert dying.returncode == -9
    meanwhile = site.commit(release("meanwhile"))
    until("rollouts wait", lambda: "a change of authority is under way" in site.typed("rollout", "show", "shop/web"), log=site.log)
    taken_back = 'ordain_authority_changes_total{outcome="taken-back"}'
    until("it is taken back", lambda: counted(site, taken_back) == "1.0", patience=LONGEST, log=site.log)
    assert set(issuers(site, *OTHERS)) == {old}
    site.start_enrolled(CANARY)
    settled(site, meanwhile, *hosts)
    until("its canary is back with the old one", lambda: issuers(site, CANARY) == [old], patience=LONGEST, log=site.agent_log(CANARY))

    another_generation(site)
    until("its canary has moved", lambda: issuers(site, CANARY) != [old], patience=LONGEST, log=site.agent_log(CANARY))
    assert set(issuers(site, *OTHERS)) == {old}
    promoted = 'ordain_authority_changes_total{outcome="promoted"}'
    until("it is that of all", lambda: counted(site, promoted) == "1.0", patience=LONGEST, log=site.log)
    until("all have moved", lambda: len(set(issuers(site, *hosts))) == 1 and issuers(site, CANARY) != [old], patience=LONGEST, log=site.log)
    after = site.commit(release("after"))
    settled(site, after, *hosts)
    assert [host for host in hosts if "not renewed" in site.agent_log(host).read_text()] == [], "nobody was ever cut off"
