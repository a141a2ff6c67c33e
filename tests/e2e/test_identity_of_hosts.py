"""A host from its enrolment to its revocation, with real processes only; whoever tries to pass for it is refused, counted and audited."""

import http.client
import json
import ssl
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.joining.identity import Identities
from agent.joining.renew import tls_of
from agent.protocol.enrolment import FORMAT
from tests.acceptance_cases import repository
from tests.e2e.enrolled import Site
from tests.e2e.installation import PATIENCE, until
from tests.zone_cases import Answer, ask, csr

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(600), pytest.mark.xdist_group("site")]


def connection(site: Site, agent: str = "") -> http.client.HTTPSConnection:
    """Return a connection by a host's certificate, or by none."""
    known = Identities(directory=site.place(agent or "web-01") / "identity").current()
    assert known is not None
    context = tls_of(known).context() if agent else ssl.create_default_context(cadata=known.authority)
    host, _, port = site.agents_url.removeprefix("https://").rpartition(":")
    return http.client.HTTPSConnection(host, int(port), context=context, timeout=PATIENCE)


def asked(site: Site, method: str, path: str, body: object = None, *, agent: str = "") -> Answer:
    """Return what is answered on a connection of its own."""
    made = connection(site, agent)
    try:
        return ask(made, method, path, body)
    finally:
        made.close()


def refusals(site: Site, tenant: str = "shop") -> list[tuple[str, str]]:
    """Return what was refused as the audit has it: action and target."""
    options = ["--tenant", tenant] if tenant else []
    entries = site.operator("audit", "operations", *options)["entries"]
    return [(one["action"], one["target"]) for one in entries if one["outcome"] == "refused"]


@pytest.fixture
def site(shared_site: Site) -> Site:
    return shared_site


def problems(site: Site, agent: str) -> str:
    return str(site.agent_status(agent)["problems"])


def test_a_host_joins_has_releases_is_held_let_go_and_revoked(site: Site) -> None:
    token = site.token("web-01")
    done = site.enroll("web-01", token)
    assert done.returncode == 0, done.stderr
    site.start_enrolled("web-01")
    log = site.agent_log("web-01")
    until("the release is applied", lambda: site.content("web-01", "/etc/motd") == "hello", log=log)
    until("the server has its receipt", lambda: site.standing("shop/web-01") == ["applied"], log=log)

    thief = site.enroll("web-01-thief", token)
    assert thief.returncode == 1, thief.stderr
    assert "enrolled already" in thief.stderr

    site.operator("agents", "quarantine", "shop/web-01", "--reason", "odd connections")
    until("it knows that it is held", lambda: "quarantined" in problems(site, "web-01"), log=log)
    site.operator("agents", "release", "shop/web-01", "--reason", "a scanner of ours")
    until("it knows that it was let go", lambda: problems(site, "web-01") == "[]", log=log)

    with_token = connection(site, "web-01")
    own = "/v1/agents/shop/web-01/fleets"
    assert ask(with_token, "GET", own).body == {"fleets": ["web"]}
    site.operator("agents", "revoke", "shop/web-01", "--reason", "stolen")
    refused = ask(with_token, "GET", own)
    with_token.close()
    assert (refused.status, refused.code, refused.closed) == (403, "revoked", True), "on the connection that stood, at once"
    until("it knows that it is revoked", lambda: "revoked" in problems(site, "web-01"), log=log)
    assert site.content("web-01", "/etc/motd") == "hello", "what runs is kept"
    assert {("agents.enrol", "shop/web-01"), ("agents.request", "shop/web-01")} <= set(refusals(site)), "of token, and of certificate"
    found = site.metrics()
    assert 'ordain_requests_refused_total{code="revoked",route="GET /v1/agents/{tenant}/{agent}/fleets"} 1.0' in found
    assert 'ordain_enrolments_total{outcome="conflict"} 1.0' in found


def test_a_request_that_somebody_kept_and_one_for_another_tenant_are_refused(site: Site) -> None:
    request = csr(ec.generate_private_key(ec.SECP256R1()))
    body = {"format": FORMAT, "request": request, "token": site.token("db-01")}
    assert asked(site, "POST", "/v1/enrol", body | {"tenant": "lab"}).code == "refused"
    assert asked(site, "POST", "/v1/enrol", body).status == 201
    site.operator("agents", "revoke", "shop/db-01", "--reason", "its disk was copied")
    again = asked(site, "POST", "/v1/enrol", body)
    assert (again.status, again.code) == (403, "revoked"), again.body
    assert ("agents.enrol", "shop/db-01") in refusals(site)
    assert 'ordain_enrolments_total{outcome="revoked"} 1.0' in site.metrics()


def test_an_agent_that_git_calls_otherwise_now_is_told_of_nothing(site: Site) -> None:
    assert site.enroll("web-02", site.token("web-02")).returncode == 0
    file = "/v1/repositories/shop/web/metadata/timestamp.json"
    assert asked(site, "GET", file, agent="web-02").status == 200
    assert asked(site, "GET", file.replace("shop/web", "lab/desk"), agent="web-02").code == "unknown"
    assert refusals(site).count(("agents.request", "shop/web-02")) == 1
    renamed = repository()["tenants/shop/agents/web-02.yaml"].replace("web-02", "web-09")
    site.examined(site.commit({"tenants/shop/agents/web-02.yaml": None, "tenants/shop/agents/web-09.yaml": renamed}))
    until("the old name reads nothing", lambda: asked(site, "GET", file, agent="web-02").code == "unknown", log=site.log)
    assert asked(site, "GET", file, agent="web-02").code == "unknown"
    assert refusals(site).count(("agents.request", "shop/web-02")) == 2, "once for all that it asks in a day, here and elsewhere"
    assert 'ordain_requests_refused_total{code="unknown",route="GET /v1/repositories/{tenant}/{fleet}/metadata/{file}"}' in site.metrics()


def test_an_operator_whose_token_ended_is_refused(site: Site) -> None:
    site.operator("operators", "add", "ci")
    made = site.operator("operators", "token", "create", "operator:ci", "--ttl", "1s", "--action", "agents.read", "--tenant", "shop")
    time.sleep(1.1)
    opened = connection(site)
    opened.request("GET", "/api/v1/agents/shop/web-01", headers={"Authorization": f"Bearer {made['token']}"})
    answer = opened.getresponse()
    said = json.loads(answer.read())
    opened.close()
    assert (answer.status, said["code"]) == (401, "unauthenticated")
    assert [action for action, _ in refusals(site, "")] == ["agents.read"]
    assert 'ordain_operators_refused_total{action="agents.read",reason="unauthenticated"} 1.0' in site.metrics()
