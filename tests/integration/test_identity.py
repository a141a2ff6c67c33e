"""Who a host is, as the server sees it: it joins, proves itself on every request, renews, and is cut off. Over real mutual TLS."""

import asyncio
import base64
import http.client
import ssl
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.protocol.enrolment import FORMAT, split_pem
from agent.protocol.identity import renewal_message, spiffe
from reconciler.control.api import enrol
from reconciler.control.authority import certificates as made_by
from reconciler.control.authority.ceremony import DOMAIN
from reconciler.control.authority.signing import SigningKey
from reconciler.control.known import KnownTenants
from reconciler.control.limits import Rate
from reconciler.control.registry import agents, audit, certificates, pending
from tests import zone_cases
from tests.conftest import part
from tests.zone_cases import Answer, Host, Site, ask, csr

pytestmark = pytest.mark.needs("opa")
OWN = "/v1/agents/shop/web-01/fleets"
PATIENCE = 30.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with zone_cases.site(tmp_path_factory.mktemp("zone"), part("opa")) as made:
        yield made


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def lapsed(host: Host, key: ec.EllipticCurvePrivateKey, *, by: ec.EllipticCurvePrivateKey | None = None, request: str = "") -> Answer:
    """Ask for a certificate for another key by the one that ran out."""
    request = request or csr(key)
    message = renewal_message(request.encode(), host.certificate.public_bytes(Encoding.DER))
    proof = (by or host.key).sign(message, ec.ECDSA(hashes.SHA256()))
    body = {"format": FORMAT, "request": request, "certificate": host.chain, "proof": base64.b64encode(proof).decode()}
    return host.site.ask("POST", "/v1/certificates/lapsed", body)


def audited(site: Site, action: str, tenant: str = "shop") -> list[audit.Entry]:
    found = site.registry.look(audit.listed, tenant, limit=200).items
    return [entry for entry in found if entry.action == action]


def refusals(site: Site) -> int:
    return sum(entry.outcome == "refused" for entry in audited(site, "agents.enrol"))


def move(site: Site, agent: str, state: agents.State, *, leave: str = "") -> None:
    site.registry.write(agents.set_state, "shop", agent, state, by="operator:test", reason="a test", now=site.clock(), leave=leave)


def await_refusal(connection: http.client.HTTPSConnection, path: str, code: str) -> Answer:
    """Ask on one connection until it is refused so."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = ask(connection, "GET", path)
        if answer.status != 200:
            assert answer.code == code
            return answer
        time.sleep(0.05)
    message = "it was never refused"
    raise AssertionError(message)


# Joining


def test_a_host_joins_by_a_token_and_is_known_by_its_certificate_from_then_on(site: Site) -> None:
    host = site.host()
    answer = host.enrol(site.token(agent="web-01"))
    assert (answer.status, answer.body["tenant"], answer.body["agent"]) == (201, "shop", "web-01")
    assert made_by.agent_name(host.certificate).uri == spiffe(DOMAIN, "shop", "web-01")
    assert split_pem(answer.body["authority"]) == split_pem(site.zone.keeper.authority())
    assert '"_type":"root"' in answer.body["root"].replace(" ", "")
    assert host.ask("GET", OWN).body == {"fleets": ["web"]}
    assert audited(site, "agents.enrol")[0].outcome == "done"


def test_a_token_is_used_once_but_answers_the_host_again_that_lost_the_answer(site: Site) -> None:
    token, host = site.token(agent="web-01", reimage=True), site.host()
    assert host.enrol(token).status == 201
    first = host.certificate
    again = host.enrol(token)
    assert (again.status, again.body["agent"]) == (201, "web-01")
    assert host.certificate.public_key() == first.public_key()
    stranger = site.host().enrol(token)
    assert (stranger.status, stranger.code) == (401, "unauthenticated")
    assert "used up" in stranger.body["error"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tenant": "lab"}, "refused"),
        ({"agent": "web-02"}, "refused"),
        ({"pool": "runners"}, "refused"),
        ({"format": 99}, "malformed"),
        ({"request": "none"}, "malformed"),
        ({"surprise": 1}, "malformed"),
        ({"platform": "a.b.c"}, "malformed"),
    ],
)
def test_a_token_is_for_whom_it_says_alone(site: Site, change: dict[str, object], code: str) -> None:
    token, before = site.token(agent="web-01", reimage=True), refusals(site)
    assert site.host().enrol(token, **change).code == code
    assert refusals(site) - before == (code == "refused"), "a credential that held, and was shown for another, is on record"
    assert site.host().enrol(token).status == 201, "nothing of it was used up"


def test_a_token_that_is_over_altered_or_made_up_is_refused(site: Site) -> None:
    over = site.token(agent="web-01", ttl=timedelta(seconds=-1))
    assert site.host().enrol(over).status == 401
    token = site.token(agent="web-01")
    altered = token[:-2] + ("AA" if not token.endswith("AA") else "BA")
    assert site.host().enrol(altered).status == 401
    assert site.host().enrol("ordain1.e30.short").code == "malformed"


def test_who_shows_over_and_over_what_does_not_hold_waits_for_each_answer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrol, "REFUSED", Rate(per_second=0.02, burst=1))
    monkeypatch.setattr(enrol, "HELD_SECONDS", 0.3)
    site.host().enrol("x")
    began = time.monotonic()
    assert site.host().enrol("x").code == "malformed"
    assert time.monotonic() - began >= 0.3
    assert site.host().enrol(site.token(agent="web-01", reimage=True)).status == 201, "what holds is answered at once"


def test_whom_git_does_not_know_is_refused_and_listed(site: Site) -> None:
    answer = site.host().enrol(site.token(agent="new-01"), facts={"hostname": "new-01.example.com"})
    assert (answer.status, answer.code) == (404, "unknown")
    waiting = site.registry.look(pending.listed, "shop").items
    assert [(one.agent, one.facts) for one in waiting] == [("new-01", {"hostname": "new-01.example.com"})]
    assert audited(site, "agents.enrol")[0].outcome == "refused"


def test_a_name_that_is_enrolled_joins_again_only_where_that_is_allowed(site: Site) -> None:
    first = site.enrolled("web-02")
    refused = site.host().enrol(site.token(agent="web-02"))
    assert (refused.status, refused.code) == (409, "conflict")
    with first.connected() as connection:
        assert ask(connection, "GET", "/v1/agents/shop/web-02/fleets").status == 200
        assert site.host().enrol(site.token(agent="web-02", reimage=True)).status == 201
        await_refusal(connection, "/v1/agents/shop/web-02/fleets", "revoked")
    site.enrolled("db-01", reimage=False)
    site.enrolled("db-01", reimage=False)  # its manifest allows it


def test_members_of_a_pool_get_their_names_here_and_no_more_than_it_may_have(site: Site) -> None:
    token = site.token(pool="runners", uses=10)
    members = [site.host() for _ in range(3)]
    names = {host.enrol(token).body["agent"] for host in members}
    assert len(names) == 3
    assert all(name.startswith("runners/") for name in names)
    full = site.host().enrol(token)
    assert (full.status, full.code) == (403, "refused")
    assert "3 members" in full.body["error"]
    again = members[0].enrol(token)
    assert again.body["agent"] in names
    life = members[0].certificate.not_valid_after_utc - datetime.now(UTC)
    assert life <= timedelta(hours=1), "so that it renews within its lease"
    assert members[0].ask("GET", f"/v1/agents/shop/{again.body['agent']}/fleets").body == {"fleets": ["web"]}


def test_without_a_policy_to_ask_nobody_joins(tmp_path: Path) -> None:
    with zone_cases.site(tmp_path, None) as alone:
        assert alone.host().enrol(alone.token(agent="web-01")).code == "refused"


def test_a_tenant_whose_controls_came_just_now_is_waited_for(tmp_path: Path) -> None:
    known = KnownTenants(zone_cases.founded(tmp_path))

    async def scenario() -> None:
        asking = asyncio.create_task(known.awaited("shop"))
        await asyncio.sleep(0.1)
        assert not asking.done()
        await asyncio.to_thread(known.look)
        found = await asking
        assert found is not None
        assert found.tenant == "shop"
        assert await known.awaited("nobody") is None

    asyncio.run(scenario())


# Who asks


def test_agents_routes_need_a_certificate_and_say_so(site: Site) -> None:
    answer = site.ask("GET", OWN)
    assert (answer.status, answer.code, answer.closed) == (401, "unauthenticated", True)
    assert site.ask("GET", "/v1/authority").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/agents/shop/web-02/fleets",
        "/v1/agents/lab/web-01/fleets",
        "/v1/repositories/shop/db/metadata/timestamp.json",
        "/v1/repositories/lab/bench/metadata/timestamp.json",
        f"/v1/artifacts/lab/{'0' * 64}",
        "/v1/agents/shop/web-01/x/fleets",
    ],
)
def test_what_is_anothers_does_not_exist_for_an_agent(site: Site, path: str) -> None:
    answer = site.enrolled("web-01").ask("GET", path)
    assert (answer.status, answer.code) == (404, "unknown")


def test_a_certificate_that_another_tenants_intermediate_signed_is_not_believed(site: Site) -> None:
    lab = site.zone.keeper.generations[-1].tenant("lab")
    issuer = made_by.Issuer(certificate=lab, key=SigningKey(site.zone.settings.ring.signer("lab/authority")))
    host = site.host()
    forged = made_by.issue_agent(issuer, host.key.public_key(), name=spiffe(DOMAIN, "shop", "web-01"), now=datetime.now(UTC))
    host.chain = b"".join(one.public_bytes(Encoding.PEM) for one in (forged, lab)).decode()
    answer = host.ask("GET", OWN)
    assert (answer.status, answer.code) == (401, "unauthenticated")


def test_a_renamed_agent_is_another_one(site: Site) -> None:
    host = site.made("old-name", life=timedelta(hours=1), recorded=False)
    answer = host.ask("GET", "/v1/agents/shop/old-name/fleets")
    assert (answer.status, answer.code) == (401, "unauthenticated"), "git no longer knows it, and the registry never did"


def test_certificates_of_others_do_not_get_through_the_handshake(site: Site) -> None:
    host, key = site.host(), new_key()
    root = made_by.Issuer(certificate=made_by.make_root(key, installation="other", now=datetime.now(UTC)), key=key)
    middle = made_by.make_intermediate(root, key.public_key(), domain=DOMAIN, tenant="shop", now=datetime.now(UTC))
    name = spiffe(DOMAIN, "shop", "web-01")
    forged = made_by.issue_agent(made_by.Issuer(certificate=middle, key=key), host.key.public_key(), name=name, now=datetime.now(UTC))
    own = made_by.Issuer(certificate=made_by.make_root(host.key, installation="self", now=datetime.now(UTC)), key=host.key)
    self_signed = made_by.issue_agent(own, host.key.public_key(), name=name, now=datetime.now(UTC))
    for chain in ([forged, middle], [self_signed]):
        host.chain = b"".join(one.public_bytes(Encoding.PEM) for one in chain).decode()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            host.ask("GET", OWN)


@pytest.mark.needs("openssl")
def test_a_real_openssl_client_gets_in_by_what_it_was_given(site: Site, tmp_path: Path) -> None:
    host = site.enrolled("web-01")
    for name, data in (("key", host.private), ("chain", host.chain.encode()), ("roots", site.zone.keeper.authority().encode())):
        (tmp_path / name).write_bytes(data)
    files = [("-key", "key"), ("-cert", "chain"), ("-cert_chain", "chain"), ("-CAfile", "roots")]
    options = [word for option, name in files for word in (option, str(tmp_path / name))]
    command = ["openssl", "s_client", "-quiet", "-verify_return_error", "-verify_ip", "127.0.0.1", "-connect", site.url[8:], *options]
    request = f"GET {OWN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    done = subprocess.run(command, input=request, capture_output=True, timeout=60, check=False)
    assert b'{"fleets":["web"]}' in done.stdout, done.stderr


# Staying


def test_a_certificate_renews_over_its_own_connection_for_another_key(site: Site) -> None:
    host = site.enrolled("web-01")
    before, key = host.certificate, new_key()
    answer = host.renew(key)
    assert (answer.status, answer.body["agent"]) == (201, "web-01")
    assert host.certificate.public_key() == key.public_key() != before.public_key()
    assert host.ask("GET", OWN).status == 200
    found = site.registry.look(certificates.get, made_by.fingerprint(host.certificate))
    assert found is not None
    assert found.how == "renewed"


def test_a_certificate_that_ran_out_is_refused_in_words_on_new_connections_and_on_those_that_stand(site: Site) -> None:
    site.enrolled("web-01")
    host = site.made("web-01", life=timedelta(seconds=5))
    with host.connected() as connection:
        connection.connect()
        time.sleep(max(0.0, (host.certificate.not_valid_after_utc - datetime.now(UTC)).total_seconds()) + 0.1)
        answer = ask(connection, "GET", OWN)
        assert (answer.code, answer.closed) == ("unauthenticated", True)
    assert "ran out; renew it" in host.ask("GET", OWN).body["error"]
    key = new_key()
    renewed = lapsed(host, key)
    assert renewed.status == 201, renewed.body
    host.key, host.chain = key, renewed.body["certificate"]
    assert host.ask("GET", OWN).status == 200
    assert audited(site, "certificates.renew-lapsed")[0].outcome == "done"


def test_a_certificate_that_was_issued_by_a_clock_that_was_ahead_is_renewed_by_its_key(site: Site) -> None:
    with site.clock.later(timedelta(days=1)):
        host = site.enrolled("web-01")
    answer, key = host.ask("GET", OWN), new_key()
    assert (answer.code, "begins later" in answer.body["error"]) == ("unauthenticated", True)
    host.chain, host.key = lapsed(host, key).body["certificate"], key
    assert host.ask("GET", OWN).status == 200


def test_a_lapsed_certificate_renews_for_thirty_days_by_its_own_key_alone(site: Site) -> None:
    host = site.enrolled("web-01")
    assert lapsed(host, new_key(), by=new_key()).code == "unauthenticated"
    with site.clock.later(timedelta(days=30)):
        assert lapsed(host, new_key()).status == 201
    with site.clock.later(timedelta(days=32)):
        late = lapsed(host, new_key())
    assert (late.status, late.code) == (403, "refused")
    assert audited(site, "certificates.renew-lapsed")[0].outcome == "refused"


def test_a_lapsed_request_that_somebody_kept_is_answered_for_minutes_only(site: Site) -> None:
    host, key = site.enrolled("web-01"), new_key()
    request = csr(key)
    assert lapsed(host, key, request=request).status == 201
    assert lapsed(host, key, request=request).status == 201, "the answer was lost"
    with site.clock.later(timedelta(hours=1)):
        assert lapsed(host, key, request=request).code == "conflict"


def test_a_pools_member_comes_back_within_its_lease_and_not_after(site: Site) -> None:
    there = site.registry.look(agents.listed, agents.Filter(pool="runners")).items
    member = there[0].agent if there else site.host().enrol(site.token(pool="runners")).body["agent"]
    host = site.made(member, life=timedelta(seconds=1))
    assert lapsed(host, new_key()).status == 201
    with site.clock.later(timedelta(hours=2)):
        assert lapsed(host, new_key()).code == "refused"


# Leaving


def test_who_is_revoked_is_refused_on_the_connection_that_stands_and_never_renews(site: Site) -> None:
    host = site.enrolled("web-01")
    with host.connected() as connection:
        assert ask(connection, "GET", OWN).status == 200
        move(site, "web-01", "revoked")
        assert await_refusal(connection, OWN, "revoked").closed
    assert host.ask("GET", OWN).code == "revoked", "a new connection is refused too"
    assert host.ask("POST", "/v1/certificates", {"format": FORMAT, "request": csr(new_key())}).code == "revoked"
    assert lapsed(host, new_key()).code == "revoked"
    assert site.host().enrol(site.token(agent="web-01")).code == "revoked"
    assert host.enrol(site.token(agent="web-01", reimage=True)).code == "revoked", "its key is known to somebody else"
    site.enrolled("web-01")


def test_a_manifest_that_allows_a_re_image_lets_nobody_in_who_was_revoked(site: Site) -> None:
    site.enrolled("db-01", reimage=False)
    older = site.token(agent="db-01")
    move(site, "db-01", "revoked")
    assert site.host().enrol(older).code == "revoked"
    site.enrolled("db-01")


def test_one_in_quarantine_is_refused_everything_but_reporting_and_renewing(site: Site) -> None:
    host = site.enrolled("web-01")
    with host.connected() as connection:
        move(site, "web-01", "quarantined")
        await_refusal(connection, OWN, "quarantined")
    assert host.renew(new_key()).status == 201
    assert site.host().enrol(site.token(agent="web-01", reimage=True)).code == "quarantined"
    move(site, "web-01", "enrolled")


def test_one_that_is_decommissioned_is_told_so_and_to_leave(site: Site) -> None:
    host = site.enrolled("web-02")
    with host.connected() as connection:
        move(site, "web-02", "decommissioned", leave="remove")
        answer = await_refusal(connection, "/v1/agents/shop/web-02/fleets", "decommissioned")
    assert answer.status == 410
    told = host.ask("POST", "/v1/watch", {"format": 1})
    assert (told.status, told.body["leave"]["what"]) == (200, "remove")
    assert host.ask("GET", "/v1/agents/shop/web-02/fleets").code == "decommissioned", "and nothing else"
    assert lapsed(host, new_key()).code == "decommissioned"


def test_a_certificate_that_was_revoked_before_is_not_told_to_leave(site: Site) -> None:
    stolen = site.enrolled("web-02")
    host = site.enrolled("web-02")
    move(site, "web-02", "decommissioned", leave="remove")
    with host.connected() as connection:
        await_refusal(connection, "/v1/agents/shop/web-02/fleets", "decommissioned")
    assert stolen.ask("POST", "/v1/watch", {"format": 1}).code == "revoked"
    assert host.ask("POST", "/v1/watch", {"format": 1}).status == 200


def test_one_that_was_revoked_and_then_decommissioned_stays_revoked(site: Site) -> None:
    host = site.enrolled("web-02")
    move(site, "web-02", "revoked")
    move(site, "web-02", "decommissioned", leave="remove")
    with host.connected() as connection:
        await_refusal(connection, "/v1/agents/shop/web-02/fleets", "revoked")
    assert host.ask("POST", "/v1/watch", {"format": 1}).code == "revoked"


def test_a_certificate_that_is_written_down_after_its_agent_was_revoked_is_refused_at_first_sight(site: Site) -> None:
    site.enrolled("web-02")
    move(site, "web-02", "revoked")
    late = site.made("web-02", life=timedelta(hours=1))
    site.zone.standing.release(("shop", "web-02"))  # as in a process that has not read the registry since
    assert late.ask("GET", "/v1/agents/shop/web-02/fleets").code == "revoked"


# Losing the registry


def test_a_registry_that_was_lost_takes_in_whom_git_knows(site: Site) -> None:
    lost = site.made("db-01", life=timedelta(hours=1), recorded=False)
    with site.registry.begin() as connection:
        connection.exec_driver_sql("DELETE FROM agents WHERE agent = 'db-01'")
    assert lost.ask("GET", "/v1/agents/shop/db-01/fleets").status == 200
    entry = audited(site, "certificates.take-in")[0]
    assert (entry.target, entry.outcome) == ("shop/db-01", "done")


def test_a_pools_host_whose_lease_is_over_is_not_taken_in_though_all_of_it_was_forgotten(site: Site) -> None:
    within = site.made("runners/00aa", life=timedelta(seconds=1), recorded=False)
    assert lapsed(within, new_key()).status == 201
    beyond = site.made("runners/00bb", life=timedelta(seconds=1), recorded=False)
    with site.clock.later(timedelta(hours=2)):
        assert lapsed(beyond, new_key()).code == "unauthenticated"
    with site.registry.begin() as connection:
        agents.set_state(connection, "shop", "runners/00aa", "decommissioned", by="test", reason="a try", now=datetime.now(UTC))


def test_refusals_are_counted_by_route_and_code(site: Site) -> None:
    before = site.zone.gate.refused["POST /v1/enrol", "unauthenticated"]
    site.host().enrol(site.token(agent="web-01", ttl=timedelta(seconds=-1)))
    assert site.zone.gate.refused["POST /v1/enrol", "unauthenticated"] == before + 1
