"""Signing in: an identity provider that signs real tokens, the command that a person types, and what becomes of groups and roles."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from agent.protocol.errors import InputError, OrdainError, RefusedError
from reconciler.cli import cli, device, logins
from reconciler.control.enrolment.platforms import AGAIN, Platforms
from reconciler.control.identity.sign_in import SignIn
from reconciler.control.registry import audit
from reconciler.publication.controls import Role
from tests.issuer_cases import CLIENT, Issuer, issuer, made_key
from tests.operator_cases import Site, site

pytestmark = pytest.mark.needs("opa")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with issuer(tmp_path_factory.mktemp("issuer")) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, provider: Issuer) -> Iterator[Site]:
    """A site whose operators sign in at the provider, and whose roles name a group and an e-mail."""
    from reconciler.opa.program import find_opa  # noqa: PLC0415 - only where OPA is there, see pytestmark

    tokens = Platforms(authority=str(provider.authority))
    sign_in = SignIn(issuer=provider.url, client_id=CLIENT, audience="", groups_claim="groups", tokens=tokens)
    roles = [
        Role(name="sre", role="operator", subjects=[f"group:{provider.url}#sre"]),
        Role(name="mail", role="approver", subjects=[f"oidc:{provider.url}#ben@example.com"]),
    ]
    with site(tmp_path_factory.mktemp("site"), find_opa(None), sign_in=sign_in, roles=roles) as made:
        yield made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: Issuer) -> Path:
    """Give commands a home of their own, and the provider's root as one of the system's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", str(provider.authority))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    provider.person = {"email": "ana@example.com", "email_verified": True, "groups": ["sre", "all"]}
    return tmp_path


def session(shared: Site, token: str) -> tuple[int, dict[str, str]]:
    found = shared.ask("POST", "/api/v1/sessions", body={"idToken": token})
    return found.status, found.body


def roles(shared: Site, token: str) -> list[str]:
    return [one["role"] for one in shared.ask("GET", "/api/v1/whoami", token=token).body["roles"]]


def test_who_signs_in_has_the_roles_of_their_groups_and_loses_them_at_the_next_sign_in(shared: Site, provider: Issuer) -> None:
    status, made = session(shared, provider.token())
    assert (status, made["subject"], made["shown"]) == (201, f"oidc:{provider.url}#ana", "ana@example.com")
    assert roles(shared, made["token"]) == ["operator"]
    assert shared.ask("GET", "/api/v1/agents/shop/web-01", token=made["token"]).status == 200
    session(shared, provider.token(groups=["all"]))
    assert roles(shared, made["token"]) == []


def test_a_role_names_an_e_mail_only_where_the_provider_has_verified_it(shared: Site, provider: Issuer) -> None:
    ben: dict[str, Any] = {"sub": "ben", "email": "ben@example.com", "groups": None}
    assert roles(shared, session(shared, provider.token(**ben))[1]["token"]) == ["approver"]
    assert roles(shared, session(shared, provider.token(**ben, email_verified=False))[1]["token"]) == []
    assert roles(shared, session(shared, provider.token(**{**ben, "sub": "eve"}, email_verified="true"))[1]["token"]) == []


def test_a_token_for_another_or_by_another_or_of_another_time_is_no_sign_in(shared: Site, provider: Issuer) -> None:
    for token in (
        provider.token(aud="someone-else"),
        provider.token(iss="https://id.example.com"),
        provider.token(exp=1),
        provider.token(sub=None),
        provider.token(sub=7),
        provider.token(key=made_key("first")),
        provider.token()[:-4] + "AAAA",
        "a.b.c",
    ):
        status, said = session(shared, token)
        assert (status, said["code"]) == (401, "unauthenticated")
        assert token not in str(said)


def test_a_person_who_was_removed_does_not_come_back_by_signing_in(shared: Site, provider: Issuer) -> None:
    made = session(shared, provider.token(sub="leaver"))[1]
    gone = {"subject": f"oidc:{provider.url}#leaver", "reason": "left"}
    assert shared.ask("POST", "/api/v1/operators/remove", who="root", body=gone).status == 200
    assert shared.ask("GET", "/api/v1/whoami", token=made["token"]).status == 401
    assert session(shared, provider.token(sub="leaver"))[0] == 403
    last = shared.registry.look(audit.listed, audit.INSTALLATION, limit=1).items[0]
    assert (last.who, last.action, last.outcome) == (f"oidc:{provider.url}#leaver", "sessions.begin", "refused")


def login(shared: Site, *words: str) -> str:
    """Sign in as a person does; return what was said on stderr."""
    done = CliRunner().invoke(cli, ["login", "--server", shared.url, *words])
    if isinstance(done.exception, OrdainError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stderr


def fingerprint(shared: Site) -> str:
    return x509.load_pem_x509_certificate(shared.root.encode()).fingerprint(hashes.SHA256()).hex()


def test_a_person_types_a_code_and_is_signed_in(shared: Site, provider: Issuer) -> None:
    said = login(shared, "--fingerprint", fingerprint(shared))
    assert f"Open {provider.url}/go" in said
    assert "ABCD-EFGH" in said
    assert re.search(rf"signed in at {shared.url} as oidc:{provider.url}#ana until ", said)
    kept = logins.read(logins.place()).servers[shared.url]
    assert kept.authority == shared.root
    shown = CliRunner().invoke(cli, ["whoami"])
    assert re.search(r"^shop +operator +all$", shown.stdout, re.MULTILINE)


def typed(provider: Issuer, waited: list[float], **changed: str) -> str:
    """Sign in without a server, and without waiting."""
    said = {"issuer": provider.url, "client_id": CLIENT, "scope": "openid", **changed}
    return device.id_token(**said, show=lambda _: None, wait=waited.append)


def test_a_provider_that_says_to_slow_down_is_asked_more_seldom(provider: Issuer) -> None:
    provider.answers = ["authorization_pending", "slow_down", "authorization_pending"]
    waited: list[float] = []
    assert typed(provider, waited).count(".") == 2
    assert waited == [1, 1, 1 + device.SLOWER, 1 + device.SLOWER]


def test_a_sign_in_that_is_declined_or_too_late_or_by_nobodys_client_says_so(provider: Issuer) -> None:
    for answer, said in {"access_denied": "declined", "expired_token": "in time", "server_error": "server_error"}.items():
        provider.answers = [answer]
        with pytest.raises(RefusedError, match=said):
            typed(provider, [])
    with pytest.raises(RefusedError, match="invalid_client"):
        typed(provider, [], client_id="mallory")
    with pytest.raises(InputError, match="https alone"):
        typed(provider, [], issuer="http://localhost")
    assert not logins.place().exists()


def test_a_provider_whose_authority_is_unknown_here_is_said_how_to_name_it(
    provider: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "empty.pem"))
    with pytest.raises(RefusedError, match=r"certificate verify failed.*; .* name the authority's file in SSL_CERT_FILE"):
        typed(provider, [])


def test_a_server_with_another_root_is_not_believed_and_never_asked_without_one(shared: Site, provider: Issuer) -> None:
    before = len(provider.asked)
    with pytest.raises(RefusedError, match="is not the one that you gave"):
        login(shared, "--fingerprint", "0" * 64)
    with pytest.raises(InputError, match="Give --fingerprint"):
        login(shared)
    assert len(provider.asked) == before


def test_keys_that_the_provider_rotates_are_followed(provider: Issuer) -> None:
    clock = [0.0]
    tokens = Platforms(authority=str(provider.authority), clock=lambda: clock[0])
    signing = SignIn(issuer=provider.url, client_id=CLIENT, audience="", groups_claim="groups", tokens=tokens)

    async def both() -> None:
        assert (await signing.person(provider.token())).shown == "ana@example.com"
        provider.rotate("second")
        clock[0] += AGAIN
        assert (await signing.person(provider.token())).subject == f"oidc:{provider.url}#ana"

    asyncio.run(both())
