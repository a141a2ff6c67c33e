"""A site for tests of operators: two tenants with signed controls, a registry, an OPA, and the routes of `/api/v1` behind TLS.

    shop   fleets web (agents web-01, web-02) and db (db-01), pool runners in web
    lab    fleet bench (lab-01)

Operators: `viewer`, `operator`, `approver`, `owner` and `admin` hold the role of that name in shop (`owner` is policy-owner, `admin`
tenant-admin), `web-only` is an operator of fleet web alone, `lab-admin` runs lab, `root` the installation, `nobody` has no role;
`helper` sees until a day, and the day of `former` is over.
"""

import json
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import urllib3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from reconciler.control.api.routes import Route
from reconciler.control.authority import certificates
from reconciler.control.authority.ceremony import development_authority
from reconciler.control.authz.asking import Authz
from reconciler.control.console import Console, ConsoleSettings
from reconciler.control.enrolment.policy import Policy
from reconciler.control.identity.operators import text
from reconciler.control.identity.sign_in import SignIn
from reconciler.control.registry import agents, operators
from reconciler.control.registry.registry import Registry
from reconciler.control.zone import Zone, ZoneSettings
from reconciler.pipeline.approve import write_controls
from reconciler.publication import controls
from reconciler.publication.ceremony import development_keys
from reconciler.publication.controls import Controls, Role
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import LocalStore
from tests import registry_cases
from tests.zone_cases import serving

ROLES: Mapping[str, str] = {
    "viewer": "viewer",
    "operator": "operator",
    "approver": "approver",
    "owner": "policy-owner",
    "admin": "tenant-admin",
}
PEOPLE = (*ROLES, "web-only", "lab-admin", "root", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Site:
    """A control zone that hosts and operators talk to; `pool` are connections without a client certificate."""

    directory: Path
    registry: Registry
    zone: Zone
    console: Console
    authz: Authz
    url: str = ""
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The state directory, as commands get it by `--state`."""
        return self.directory / "state"

    @property
    def root(self) -> str:
        """The roots of its authority, in PEM."""
        return self.zone.keeper.authority()

    @property
    def table(self) -> list[Route]:
        """All routes behind TLS, of agents and of operators."""
        return [*self.zone.routes(), *self.console.routes()]

    def token_of(self, name: str, *, ttl: timedelta = timedelta(hours=1), **scope: list[str]) -> str:
        """Return a token of an operator; the same one each time where nothing special is asked."""
        if name in self.tokens and not scope and ttl == timedelta(hours=1):
            return self.tokens[name]
        now = datetime.now(UTC)
        with self.registry.begin() as connection:
            operators.put(connection, f"operator:{name}", shown=name, by="test", now=now)
            made, secret = operators.create_token(connection, f"operator:{name}", scope=scope, expires_at=now + ttl, by="test", now=now)
        found = text(made.id, secret)
        return found if scope else self.tokens.setdefault(name, found)

    def ask(self, method: str, path: str, *, who: str = "", token: str = "", body: object = None, raw: bytes = b"") -> Answer:
        """Ask as an operator (`who`), by a token, or as nobody; `body` is sent as JSON, `raw` as it is."""
        token = token or (self.token_of(who) if who else "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        data = raw or (b"" if body is None else json.dumps(body).encode())
        with urllib3.PoolManager(ssl_context=client_context(self.root)) as pool:
            found = pool.request(method, self.url + path, headers=headers, body=data, retries=False, timeout=60)
        shown = json.loads(found.data) if found.data else None
        require_documented(method, path.partition("?")[0], found.status, shown)
        return Answer(status=found.status, body=shown, headers=found.headers)

    def enrol(self, tenant: str, agent: str) -> None:
        """Have an agent in the registry."""
        with self.registry.begin() as connection:
            agents.enrol(connection, tenant, agent, by="token:test", now=datetime.now(UTC))


@cache
def documented() -> tuple[list[tuple[str, re.Pattern[str], Any]], Any]:
    """Return docs/openapi.json as (method, path, operation) and its components."""
    found = json.loads((Path(__file__).parents[1] / "docs" / "openapi.json").read_text())
    paths = [
        (method.upper(), re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), operation)
        for path, operations in found["paths"].items()
        for method, operation in operations.items()
    ]
    return paths, found["components"]


def require_documented(method: str, path: str, status: int, body: object) -> None:
    """Fail unless an answer of the API is as docs/openapi.json says."""
    paths, components = documented()
    operation = next((found for verb, pattern, found in paths if verb == method and pattern.fullmatch(path)), None)
    if operation is not None:
        said = operation["responses"]["2XX" if status < 300 else "default"]["content"]["application/json"]["schema"]
        jsonschema.validate(body, {**said, "components": components})


def client_context(root: str) -> ssl.SSLContext:
    """Return what a client verifies servers by: these roots alone."""
    return ssl.create_default_context(cadata=root)


@contextmanager
def site(directory: Path, opa: Path, *, sign_in: SignIn | None = None, roles: Sequence[Role] = ()) -> Iterator[Site]:
    """Run a site; its agents web-01, web-02, db-01 and lab-01 are enrolled. `roles` are further ones of tenant shop."""
    state = directory / "state"
    state.mkdir(parents=True)
    store = LocalStore(directory / "store")
    for tenant, written in (("shop", shop(roles)), ("lab", lab())):
        rings = development_keys(directory / "keys", store, tenant)
        write_controls(store, rings.pipeline.signer(f"{tenant}/releases"), written, now=datetime.now(UTC))
    development_authority(directory / "keys", store, ["shop", "lab"])
    with ExitStack() as stack:
        registry = stack.enter_context(registry_cases.empty(directory))
        authz = stack.enter_context(Authz(opa))
        ring = KeyRing(zone="control", directory=directory / "keys" / "control")
        names = ["127.0.0.1", "localhost"]
        zone = Zone(ZoneSettings(store=store, ring=ring, registry=registry, names=names, policy=Policy(authz)))
        settings = ConsoleSettings(
            registry=registry,
            known=zone.known,
            standing=zone.standing,
            store=store,
            authz=authz,
            fingerprints=zone.fingerprints,
            admins=["operator:root"],
            sign_in=sign_in,
            intake=zone.talk.intake,
        )
        console = Console(settings)
        made = Site(directory=directory, registry=registry, zone=zone, console=console, authz=authz)
        for tenant, agent in (("shop", "web-01"), ("shop", "web-02"), ("shop", "db-01"), ("lab", "lab-01")):
            made.enrol(tenant, agent)
        context = zone.listening.context()
        assert context is not None
        made.url = stack.enter_context(serving(zone.application(operators=console.admission, more=console.routes()), context))
        console.announce(state, url=made.url, authority=made.root)
        yield made


def shop(more: Sequence[Role] = ()) -> Controls:
    """Return the controls of tenant shop."""
    roles = [Role(name=name, role=role, subjects=[f"operator:{name}"]) for name, role in ROLES.items()]  # type: ignore[arg-type]
    passing = [
        Role(name="helper", role="viewer", subjects=["operator:helper"], until="2999-01-01T00:00:00Z"),
        Role(name="former", role="admin", subjects=["operator:former"], until="2020-01-01T00:00:00Z"),
    ]
    narrow = Role(name="web-only", role="operator", subjects=["operator:web-only"], fleets=["web"])
    return Controls(
        tenant="shop",
        agents={
            "web-01": controls.Agent(labels={"role": "web", "region": "eu"}, fleets=["web"]),
            "web-02": controls.Agent(labels={"role": "web", "region": "us"}, fleets=["web"]),
            "db-01": controls.Agent(labels={"role": "db"}, fleets=["db"]),
        },
        pools={"runners": controls.Pool(fleets=["web"], maximum=5, lease=3600)},
        fleets={"web": controls.Fleet(freshness=3600), "db": controls.Fleet(freshness=3600)},
        roles=[*roles, narrow, *passing, *more],
    )


def lab() -> Controls:
    """Return the controls of tenant lab."""
    return Controls(
        tenant="lab",
        agents={"lab-01": controls.Agent(fleets=["bench"])},
        fleets={"bench": controls.Fleet(freshness=3600)},
        roles=[Role(name="lab-admin", role="admin", subjects=["operator:lab-admin"])],
    )


def other_root() -> str:
    """Return the root (PEM) of an authority that nobody here has to do with."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = certificates.make_root(key, installation="other", now=datetime.now(UTC))
    return made.public_bytes(serialization.Encoding.PEM).decode()
