"""Hosts join by their platform's word: an issuer that really signs, keys fetched over real TLS, conditions from signed controls."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk, jwt

from reconciler.control.enrolment.platforms import AGAIN, Platforms
from reconciler.control.registry import pending
from reconciler.publication.controls import Platform
from tests import issuer_cases, zone_cases
from tests.conftest import part
from tests.issuer_cases import Issuer, made_key
from tests.zone_cases import Answer, Site

pytestmark = pytest.mark.needs("opa")
AUDIENCE = "ordain.example.com"


@dataclass(slots=True)
class Ticks:
    """A clock that a test moves, in seconds."""

    now: float = field(default_factory=time.monotonic)

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A zone, an issuer that manifests of it name, and the clock by which its keys are fetched."""

    site: Site
    issuer: Issuer
    platforms: Platforms
    ticks: Ticks

    def join(self, *, pool: str = "runners", agent: str = "", tenant: str = "shop", token: str = "", **claims: Any) -> Answer:
        """Join by a token with these claims."""
        said = {"aud": AUDIENCE, "repository": "acme/shop", **claims}
        place = {"agent": agent} if agent else {"pool": pool}
        return self.site.host().enrol(platform=token or self.issuer.token(**said), tenant=tenant, **place)


@contextmanager
def staged(directory: Path) -> Iterator[Scene]:
    with issuer_cases.issuer(directory) as issuer:
        ticks = Ticks()
        platforms = Platforms(authority=str(issuer.authority), clock=ticks)
        named = {
            "runners": [Platform(issuer=issuer.url, audience=AUDIENCE, claims={"repository": ["acme/shop", "acme/lab-*"]})],
            "web-01": [Platform(issuer=issuer.url, audience=AUDIENCE, agent_claim="host")],
        }
        with zone_cases.site(directory, part("opa"), platforms=named, issuers=platforms) as site:
            yield Scene(site=site, issuer=issuer, platforms=platforms, ticks=ticks)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with staged(tmp_path_factory.mktemp("platform")) as made:
        yield made


def test_a_runner_joins_its_pool_by_the_word_of_its_platform(scene: Scene) -> None:
    answer = scene.join()
    assert (answer.status, answer.body["agent"].startswith("runners/")) == (201, True), answer.body
    assert scene.join(repository="acme/lab-7").status == 201


def test_a_host_joins_under_its_own_name_where_its_platform_says_that_name(scene: Scene) -> None:
    assert scene.join(agent="web-01", host="web-02").code == "refused"
    assert scene.join(agent="web-01").code == "refused"
    answer = scene.join(agent="web-01", host="web-01")
    assert (answer.status, answer.body["agent"]) == (201, "web-01")


@pytest.mark.parametrize(
    ("claims", "code", "said"),
    [
        ({"repository": "evil/shop"}, "refused", "claim repository"),
        ({"repository": None}, "refused", "lacks claim repository"),
        ({"aud": "https://other.example.com"}, "unauthenticated", "another audience"),
        ({"iss": "https://evil.example.com"}, "unauthenticated", "no platform of the manifest"),
        ({"exp": 1}, "unauthenticated", "expired"),
        ({"exp": None}, "unauthenticated", "when it ends"),
        ({"iat": None}, "unauthenticated", "when it was issued"),
        ({"nbf": time.time() + 3600}, "unauthenticated", "begins later"),
        ({"iat": int(time.time()) + 3600}, "unauthenticated", "begins later"),
        ({"iat": int(time.time()) - 2 * 86_400, "exp": int(time.time()) + 86_400}, "unauthenticated", "older than"),
    ],
)
def test_a_word_that_is_not_for_this_or_not_for_now_is_refused(scene: Scene, claims: dict[str, Any], code: str, said: str) -> None:
    answer = scene.join(**claims)
    assert (answer.code, said in answer.body["error"]) == (code, True), answer.body


def test_who_signed_it_is_the_issuer_and_nobody_else(scene: Scene) -> None:
    mine = made_key("first")  # called as the issuer's
    assert scene.join(token=scene.issuer.token(key=mine, aud=AUDIENCE, repository="acme/shop")).code == "unauthenticated"
    header, claims, signature = scene.issuer.token(aud=AUDIENCE, repository="acme/shop").split(".")
    unsigned = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
    for token in (f"{unsigned}.{claims}.", f"{header}.{claims}.{signature[:-4]}AAAA", f"{header}.{claims}", "x.y.z", "[" * 9000 + ".a.b"):
        assert scene.join(token=token).code == "unauthenticated"


def test_a_shared_secret_signs_nothing(scene: Scene) -> None:
    public = json.dumps(scene.issuer.key.as_dict(private=False)).encode()
    claims = {"iss": scene.issuer.url, "aud": AUDIENCE, "repository": "acme/shop", "iat": int(time.time()), "exp": int(time.time()) + 60}
    token = jwt.encode({"alg": "HS256", "kid": "first"}, claims, jwk.OctKey.import_key(public))
    answer = scene.join(token=token)
    assert (answer.code, "must be signed by" in answer.body["error"]) == ("unauthenticated", True)


def test_one_pools_platform_is_nothing_to_another_pool_agent_or_tenant(scene: Scene) -> None:
    assert scene.join(agent="web-02").code == "unauthenticated"
    assert scene.join(agent="lab-01", tenant="lab").code == "unauthenticated"
    assert scene.join(pool="nobody").code == "unknown"
    assert scene.join(tenant="nowhere").code == "unknown"


def test_a_host_with_a_platforms_word_that_git_does_not_know_is_refused_and_listed(scene: Scene) -> None:
    assert scene.join(agent="web-07", sub="acme/web-07").code == "unknown"
    assert scene.join(pool="builders").code == "unknown"
    assert scene.join(agent="web-08", aud="https://other.example.com").code == "unauthenticated"
    assert scene.join(agent="web-09", token=scene.issuer.token(key=made_key("mine"), aud=AUDIENCE)).code == "unauthenticated"
    assert scene.join(tenant="lab", agent="web-07").code == "unknown", "nobody of that tenant believes the platform"
    with scene.site.registry.read() as connection:
        listed = {one.agent: one.how for one in pending.listed(connection, "shop").items}
        assert pending.listed(connection, "lab").items == ()
    assert listed.pop("web-07") == f"platform:{scene.issuer.url}#acme/web-07"
    assert any(name.startswith("builders/") for name in listed)
    assert not {"web-08", "web-09"} & set(listed), "nobody vouched for them"


def test_a_new_key_of_the_issuer_is_fetched_once_somebody_uses_it_but_not_at_every_token(scene: Scene) -> None:
    before = scene.platforms.fetches
    for _ in range(5):
        stranger = scene.issuer.token(key=made_key("unheard-of"), aud=AUDIENCE, repository="acme/shop")
        assert scene.join(token=stranger).code == "unauthenticated"
    assert scene.platforms.fetches <= before + 1
    scene.issuer.rotate("second")
    scene.ticks.now += AGAIN + 1
    assert scene.join(repository="evil/shop").code == "refused", "its signature holds, its claim does not"
    assert scene.platforms.fetches <= before + 2


def test_an_issuer_that_is_away_is_said_to_be_and_an_unknown_one_is_not_asked(tmp_path: Path) -> None:
    with staged(tmp_path) as scene:
        scene.issuer.published.clear()
        token = scene.issuer.token(aud=AUDIENCE, repository="acme/shop")
        assert scene.join(token=token).code == "unavailable", "it publishes no key"
        other = Platforms()  # does not know who vouches for the issuer's own certificate
        scene.site.zone.enrolling._platforms = other  # noqa: SLF001 - the one part that differs
        answer = scene.join(token=token)
        assert (answer.status, answer.code) == (503, "unavailable")
        assert scene.join(iss="https://evil.example.com").code == "unauthenticated"
        assert other.fetches == 1
