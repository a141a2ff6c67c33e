"""Nothing crosses a tenant: each route and verb of serve, asked with every credential that is not for it.

Made from the table of routes: a new route fails here until `ASKED` says how it is asked. Everything is asked about tenant shop, whose
files hold a mark, by whoever should not get it: nobody, hosts and operators of tenant lab, another host of shop itself, and shop's own
credentials once they expired or were revoked. Then nothing of shop may have changed.
"""

import json
import re
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.protocol.enrolment import Token, TokenBody, write_token
from agent.protocol.identity import AgentName
from reconciler.control.api.rollouts import BY_HAND
from reconciler.control.api.routes import AGENT, ANYONE, Route
from reconciler.control.authority.ceremony import DOMAIN
from reconciler.control.identity import recording
from reconciler.control.registry import agents, audit, certificates, operators, tokens
from reconciler.publication import layout
from tests.operator_cases import Site, site

pytestmark = pytest.mark.needs("opa")

DIGEST = "5a" * 32
MARK = "mark-of-tenant-shop"
PARTS: Mapping[str, str] = {
    "tenant": "shop",
    "agent": "web-01",
    "id": "7f3a",
    "fleet": "web",
    "mode": "incident",
    "commit": "5a" * 20,
    "freeze": "1",
    "file": "timestamp.json",
    "path": f"bundles/{DIGEST}.web-1.tar.gz",
    "sha256": DIGEST,
    "hook": "0123456789abcdef",
    "token": "0" * 16,
}
"""What stands in paths: all of tenant shop, and agent web-01's where it is about an agent."""
WHY: Mapping[str, Any] = {"reason": "tried by a test"}
FROZEN = ("installation", "tenants/{tenant}", "fleets/{tenant}/{fleet}")
ASKED: Mapping[str, Mapping[str, Any] | None] = {
    "GET /v1/authority": None,
    "POST /v1/enrol": {"format": 1, "request": "", "tenant": "shop", "agent": "web-01"},
    "POST /v1/certificates": {"format": 1, "request": ""},
    "POST /v1/certificates/lapsed": {"format": 1, "request": ""},
    "POST /v1/certificates/relay": {"format": 1, "request": ""},
    "GET /v1/repositories/{tenant}/{fleet}/metadata/{file}": None,
    "GET /v1/repositories/{tenant}/{fleet}/targets/{path:.+}": None,
    "GET /v1/agents/{tenant}/{agent}/fleets": None,
    "GET /v1/agents/{tenant}/{agent}/{id}/fleets": None,
    "GET /v1/artifacts/{tenant}/{sha256}": None,
    "POST /v1/watch": {},
    "POST /v1/reports": {},
    "GET /api/v1/sign-in": None,
    "POST /api/v1/sessions": {"idToken": "a.b.c"},
    "DELETE /api/v1/sessions/own": None,
    "GET /api/v1/whoami": None,
    "GET /api/v1/agents": None,
    "GET /api/v1/pending": None,
    "GET /api/v1/agents/{tenant}/{agent}": None,
    "POST /api/v1/agents/{tenant}/{agent}/revoke": WHY,
    "POST /api/v1/agents/{tenant}/{agent}/quarantine": WHY,
    "POST /api/v1/agents/{tenant}/{agent}/release": WHY,
    "POST /api/v1/agents/{tenant}/{agent}/decommission": {**WHY, "leave": "remove"},
    "GET /api/v1/agents/{tenant}/{agent}/members/{id}": None,
    "POST /api/v1/agents/{tenant}/{agent}/members/{id}/revoke": WHY,
    "POST /api/v1/agents/{tenant}/{agent}/members/{id}/quarantine": WHY,
    "POST /api/v1/agents/{tenant}/{agent}/members/{id}/release": WHY,
    "POST /api/v1/agents/{tenant}/{agent}/members/{id}/decommission": {**WHY, "leave": "remove"},
    "GET /api/v1/agents/{tenant}/{agent}/receipts": None,
    "GET /api/v1/agents/{tenant}/{agent}/members/{id}/receipts": None,
    "POST /api/v1/reports/{tenant}": {"batches": ["{}"], **WHY},
    "POST /api/v1/tokens/{tenant}": {"agent": "web-01", "ttl": 60},
    "GET /api/v1/tokens/{tenant}": None,
    "DELETE /api/v1/tokens/{tenant}/{token}": None,
    "GET /api/v1/operators": None,
    "POST /api/v1/operators": {"name": "mallory"},
    "POST /api/v1/operators/remove": {"subject": "operator:viewer", **WHY},
    "GET /api/v1/operators/tokens": None,
    "POST /api/v1/operators/tokens": {"subject": "operator:viewer", "ttl": 60},
    "DELETE /api/v1/operators/tokens/{token}": None,
    "GET /api/v1/hooks": None,
    "POST /api/v1/hooks": {"forge": "github", **WHY},
    "POST /api/v1/hooks/{hook}/rotate": WHY,
    "DELETE /api/v1/hooks/{hook}": None,
    "GET /api/v1/fleets": None,
    "GET /api/v1/rollouts": None,
    "GET /api/v1/rollouts/{tenant}/{fleet}": None,
    "GET /api/v1/rollouts/{tenant}/{fleet}/commits/{commit}": None,
    **{f"POST /api/v1/rollouts/{{tenant}}/{{fleet}}/{order}": WHY for order in BY_HAND},
    "GET /api/v1/freezes": None,
    **{f"POST /api/v1/freezes/{place}": {**WHY, "seconds": 1} for place in FROZEN},
    **{f"POST /api/v1/freezes/{place}/{{freeze}}/end": WHY for place in FROZEN},
    "GET /api/v1/modes": None,
    "POST /api/v1/modes/{tenant}/{fleet}/{mode}/on": {**WHY, "seconds": 60},
    "POST /api/v1/modes/{tenant}/{fleet}/{mode}/off": WHY,
    "GET /api/v1/audit/installation": None,
    "GET /api/v1/audit/installation/verify": None,
    "GET /api/v1/audit/tenants/{tenant}": None,
    "GET /api/v1/audit/tenants/{tenant}/verify": None,
}
"""`METHOD path` → the body it is asked with."""
ENDS = "DELETE /api/v1/sessions/own"
"""What would end the token that the rest is asked by."""
OWN_ONLY = {"GET /api/v1/whoami", "GET /api/v1/agents", "GET /api/v1/fleets", "GET /api/v1/pending"} | {
    f"GET /api/v1/{name}" for name in ("rollouts", "freezes", "modes")
}
"""Routes without a tenant that any operator may ask: each sees what is theirs, and so nothing of shop."""
HOSTS_OWN = {"POST /v1/certificates", "POST /v1/certificates/relay", "POST /v1/watch", "POST /v1/reports"}
"""Routes that any host may ask, about itself: bodies name nothing else."""
TENANTS_OWN = {"GET /v1/artifacts/{tenant}/{sha256}"}
"""Routes that any host of the tenant may ask: whoever names an artifact's digest was told it by a signed bundle of the tenant's."""
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Who asks: by which certificate (`pool`), and with which bearer token."""

    name: str
    pool: urllib3.PoolManager
    token: str = ""
    host: bool = False
    """Whether it is one of a host, in good standing."""
    operator: bool = False
    """Whether it is one of an operator, in good standing."""
    neighbour: bool = False
    """Whether it is one of another host of the same tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One answer."""

    status: int
    body: bytes


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def ask(shared: Site, who: Credential, method: str, path: str, body: Mapping[str, Any] | None) -> Asked:
    """Ask; a handshake that is refused counts as 401."""
    headers = {"Authorization": f"Bearer {who.token}"} if who.token else {}
    data = b"" if body is None else json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    headers["Content-Length"] = str(len(data))
    try:
        found = who.pool.request(method, shared.url + path, headers=headers, body=data, retries=False, timeout=60)
    except (urllib3.exceptions.SSLError, urllib3.exceptions.ProtocolError):
        return Asked(status=401, body=b"")
    return Asked(status=found.status, body=found.data)


def filled(path: str) -> str:
    """Return a route's path with every part filled in; an unknown part is a KeyError: say in PARTS what stands there."""
    return re.sub(r"\{(\w+)(?::[^}]*)?\}", lambda part: PARTS[part[1]], path)


def until(true: Callable[[], bool]) -> None:
    """Wait for what serve hears of the registry: here it is changed behind its back, as another copy of serve would."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def certified(shared: Site, agent: str, tenant: str, *, life: timedelta = timedelta(hours=1), revoked: bool = False) -> ssl.SSLContext:
    """Return TLS with a certificate of a host that the registry knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = AgentName(domain=DOMAIN, tenant=tenant, agent=agent)
    made = shared.zone.keeper.issue(key.public_key(), name, lifetime=life)
    with shared.registry.begin() as connection:
        row = recording.row(made.certificate, name)
        certificates.record(connection, row, how="enrolled", now=datetime.now(UTC))
        if revoked:
            certificates.revoke(connection, row.fingerprint, why="tried by a test")
    if revoked:
        until(lambda: shared.zone.standing.is_revoked(row.fingerprint))
    context = ssl.create_default_context(cadata=shared.root)
    with tempfile.NamedTemporaryFile() as file:
        file.write(made.chain.encode() + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        context.load_cert_chain(file.name)
    return context


def enrolment_token(shared: Site, tenant: str, agent: str) -> str:
    """Return an enrolment token, which is no operator's."""
    now = datetime.now(UTC)
    with shared.registry.begin() as connection:
        made, secret = tokens.create(connection, tenant, agent=agent, expires_at=now + timedelta(hours=1), by="test", now=now)
    return write_token(Token(body=TokenBody(id=made.id, tenant=tenant, authority=[]), secret=secret))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose tenant shop has something to hide."""
    from reconciler.opa.program import find_opa  # noqa: PLC0415 - only where OPA is there, see pytestmark

    with site(tmp_path_factory.mktemp("site"), find_opa(None)) as made:
        store = made.console.desk.store
        store.create(layout.metadata("shop", "web", "timestamp.json"), MARK.encode())
        store.create(layout.target("shop", "web", "bundles/web-1.tar.gz", DIGEST), MARK.encode())
        store.create(layout.artifact("shop", DIGEST), MARK.encode())
        made.enrol("shop", "runners/7f3a")
        yield made


@pytest.fixture(scope="module")
def foreign(shared: Site) -> Iterator[list[Credential]]:
    """Every credential that is not for what is asked."""
    shared.enrol("shop", "gone-01")
    gone = certified(shared, "gone-01", "shop")
    with shared.registry.begin() as connection:
        agents.set_state(connection, "shop", "gone-01", "revoked", by="test", reason="test", now=datetime.now(UTC))
    until(lambda: shared.zone.standing.held(("shop", "gone-01")) == "revoked")
    revoked = shared.token_of("admin", tenants=["shop"])
    with shared.registry.begin() as connection:
        operators.revoke_token(connection, revoked.split(".")[1], now=datetime.now(UTC))
    with ExitStack() as stack:

        def made(name: str, context: ssl.SSLContext | None = None, token: str = "", **more: bool) -> Credential:
            context = context or ssl.create_default_context(cadata=shared.root)
            return Credential(name=name, pool=stack.enter_context(urllib3.PoolManager(ssl_context=context)), token=token, **more)

        yield [
            made("nobody"),
            made("a host of lab", certified(shared, "lab-01", "lab"), host=True),
            made("another host of shop", certified(shared, "db-01", "shop"), host=True, neighbour=True),
            made("a host whose certificate is revoked", certified(shared, "web-01", "shop", revoked=True)),
            made("a host that is revoked", gone),
            made("a host whose certificate ran out", certified(shared, "web-01", "shop", life=timedelta(microseconds=1))),
            made("lab's admin", token=shared.token_of("lab-admin"), operator=True),
            made("an operator without a role", token=shared.token_of("nobody"), operator=True),
            made("shop's admin, expired", token=shared.token_of("admin", ttl=timedelta(seconds=-1))),
            made("shop's admin, revoked", token=revoked),
            made("an enrolment token", token=enrolment_token(shared, "shop", "web-01")),
            made(
                "a host of lab with lab's admin", certified(shared, "lab-01", "lab"), shared.token_of("lab-admin"), host=True, operator=True
            ),
        ]


def test_every_route_is_tried(shared: Site) -> None:
    assert {name_of(route) for route in shared.table} == ASKED.keys()


def let_in(route: Route, who: Credential) -> bool:
    """Return whether a credential may be answered here, about itself and nothing of shop's."""
    name = name_of(route)
    return route.who == ANYONE or (name in OWN_ONLY and who.operator) or (name in HOSTS_OWN and who.host)


def test_no_credential_of_another_reaches_anything_of_a_tenant(shared: Site, foreign: list[Credential]) -> None:
    before = standing(shared)
    for who in foreign:
        for route in shared.table:
            if (who.neighbour and name_of(route) in TENANTS_OWN) or (who.operator and name_of(route) == ENDS):
                continue
            found = ask(shared, who, route.method, filled(route.path), ASKED[name_of(route)])
            case = f"{who.name}: {name_of(route)} → {found.status} {found.body[:200]!r}"
            assert MARK.encode() not in found.body, case
            if let_in(route, who):
                assert found.status in {200, 400, 401, 403}, case
            else:
                assert found.status in {401, 403, 404, 429}, case
            if found.status < 400:
                assert b'"shop' not in found.body, case
    assert standing(shared) == before


def standing(shared: Site) -> object:
    """Return all of shop that somebody could have changed."""
    with shared.registry.read() as connection:
        listed = agents.listed(connection, agents.Filter(tenants=["shop"]), limit=1000).items
        done = [one for chain in ("", "shop") for one in audit.listed(connection, chain, limit=1000).items if one.outcome == "done"]
        made = [one.id for one in tokens.listed(connection, "shop", limit=1000).items]
        people = [(one.subject, one.disabled_at) for one in operators.listed(connection, limit=1000).items]
        return [(one.name, one.state, one.reason) for one in listed], len(done), made, people


def test_no_list_of_a_tenant_is_given_to_another_by_its_name(shared: Site, foreign: list[Credential]) -> None:
    listing = [route for route in shared.table if "tenant" in route.query]
    assert {name_of(route) for route in listing} == OWN_ONLY - {"GET /api/v1/whoami"}
    for who in foreign:
        for route in listing:
            found = ask(shared, who, route.method, f"{route.path}?tenant=shop", None)
            assert found.status in {401, 403, 429}, f"{who.name}: {name_of(route)} → {found.status} {found.body[:200]!r}"


def test_no_path_answers_a_verb_that_is_not_in_the_table(shared: Site, foreign: list[Credential]) -> None:
    root = Credential(name="root", pool=foreign[0].pool, token=shared.token_of("root"), operator=True)
    known = {(route.method, route.path) for route in shared.table}
    for path in {route.path for route in shared.table}:
        for verb in VERBS:
            if (verb, path) not in known:
                found = ask(shared, root, verb, filled(path), {})
                assert found.status in {404, 405}, f"{verb} {path} → {found.status}"
                assert found.status == 404 or json.loads(found.body)["code"] == "unknown"


def test_whom_it_is_for_is_answered(shared: Site) -> None:
    """Without this, all of the above would pass where nobody is answered at all."""
    with (
        urllib3.PoolManager(ssl_context=certified(shared, "web-01", "shop")) as by_host,
        urllib3.PoolManager(ssl_context=certified(shared, "runners/7f3a", "shop")) as by_member,
        urllib3.PoolManager(ssl_context=ssl.create_default_context(cadata=shared.root)) as by_token,
    ):
        host = Credential(name="web-01", pool=by_host, host=True)
        member = Credential(name="runners/7f3a", pool=by_member, host=True)
        marked = 0
        for route in shared.table:
            path = filled(route.path)
            if "{id}" in route.path:
                path = path.replace("web-01", "runners")
            who = member if "{id}" in route.path else host
            if route.who != AGENT:
                who = Credential(name="root", pool=by_token, token=shared.token_of("root"), operator=True)
            if name_of(route) in {ENDS, "POST /v1/certificates/relay"}:  # the latter is for hosts whose manifest makes them relays
                continue
            found = ask(shared, who, route.method, path, ASKED[name_of(route)])
            anyone = route.who == ANYONE
            assert found.status in ({200, 400, 401, 403} if anyone else {200, 201, 400, 404, 409}), f"{name_of(route)} → {found}"
            marked += MARK.encode() in found.body
        assert marked == 3


def test_an_unknown_tenant_and_one_that_is_not_theirs_look_alike(shared: Site) -> None:
    def said(tenant: str) -> tuple[int, str]:
        found = shared.ask("GET", f"/api/v1/agents/{tenant}/web-01", who="lab-admin")
        return found.status, found.body["error"].replace(tenant, "…")

    assert said("shop") == said("no-such")


def test_tokens_and_keys_stand_in_no_file_but_where_they_belong(shared: Site) -> None:
    secrets = [shared.token_of("admin").split(".")[2].encode(), (shared.state / "local-token").read_text().strip().split(".")[2].encode()]
    found = [path for path in shared.directory.rglob("*") if path.is_file() and any(secret in path.read_bytes() for secret in secrets)]
    assert [path.relative_to(shared.directory) for path in found] == [Path("state/local-token")]
