"""Secrets from Vault or OpenBao: read by the host's own identity there, looked at again, and used on when it is away."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from agent.host import Host
from agent.owner.allow import read_allow
from agent.protocol.errors import InputError, RefusedError
from agent.protocol.state import File, Secret, State, VaultSource
from agent.secrets import vault as protocol
from agent.secrets.keys import HostKeys
from agent.secrets.values import Secrets
from agent.settings import read_secrets
from tests import vault_cases
from tests.vault_cases import Vault

PLANTED = "planted-71aa-value"
STATE = State(
    files=[File(path="/a", content="${secret.db}")],
    secrets=[Secret(name="db", vault=VaultSource(path="apps/${agent.name}/db", field="password"))],
)
TOKEN, APPROLE = {"token_file": "token"}, {"role_id_file": "role_id", "secret_id_file": "secret_id"}
CERTIFICATE = {"certificate": "host.pem", "key": "host.key"}


@pytest.fixture(scope="module", params=["spoken", "bao"])
def vault(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    place = tmp_path_factory.mktemp("vault")
    if request.param == "bao" and not vault_cases.has_bao():
        pytest.skip("OpenBao's program (bao) is not on PATH")
    with vault_cases.real(place) if request.param == "bao" else vault_cases.spoken(place) as made:
        made.put("apps/web-01/db", password=PLANTED, port=5432)
        made.put("others/db", password=PLANTED)
        yield made


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def secrets(vault: Vault, place: Path, way: Mapping[str, str], *, clock: Clock | None = None, config: str = "") -> Secrets:
    stated = {name: vault.file(value) for name, value in way.items()}
    (place / "agent.toml").write_text(config + vault.configuration(**stated))
    keys = HostKeys(directory=place / "state/secrets")
    clock = clock or Clock()
    return Secrets(
        host=Host(Path("/")), own=place / "state", config=place / "agent.toml", keys=keys, tenant="shop", agent="web-01", clock=clock
    )


def of(path: str, field: str = "password") -> State:
    return State(files=STATE.files, secrets=[Secret(name="db", vault=VaultSource(path=path, field=field))])


@pytest.mark.parametrize("way", [TOKEN, APPROLE, CERTIFICATE], ids=["token", "approle", "certificate"])
def test_a_field_is_read_by_the_hosts_own_identity(vault: Vault, tmp_path: Path, way: dict[str, str]) -> None:
    assert secrets(vault, tmp_path, way).filling(STATE).values == {"db": PLANTED}


def test_a_value_is_asked_for_again_at_intervals_and_used_on_when_that_fails(vault: Vault, tmp_path: Path) -> None:
    clock = Clock()
    known = secrets(vault, tmp_path, APPROLE, clock=clock, config='[secrets]\nrefresh = "60s"\n')
    vault.put("apps/web-01/db", password=PLANTED)
    assert known.filling(STATE).values == {"db": PLANTED}
    vault.put("apps/web-01/db", password="planted-2222")
    clock.now = 59
    assert known.filling(STATE).values == {"db": PLANTED}
    clock.now = 61
    assert known.filling(STATE).values == {"db": "planted-2222"}
    vault.put("apps/web-01/db", other="x")
    clock.now = 200
    assert known.filling(STATE).values == {"db": "planted-2222"}
    [trouble] = known.troubles()
    assert "secret db (vault secret/apps/web-01/db#password)" in trouble
    assert "the value that was had last is used" in trouble
    vault.put("apps/web-01/db", password=PLANTED, port=5432)
    clock.now = 300
    assert known.filling(STATE).values == {"db": PLANTED}
    assert known.troubles() == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (of("apps/none"), "secret db (vault secret/apps/none#password): there is no secret/apps/none"),
        (of("apps/web-01/db", "none"), "no field none that is a plain value"),
        (of("others/db"), "this host may not read secret/others/db"),
        (of("apps/../others/db"), "is no path in a store"),
    ],
)
def test_what_can_not_be_read_is_said_by_its_path_and_never_by_its_value(vault: Vault, tmp_path: Path, state: State, words: str) -> None:
    with pytest.raises(RefusedError) as refused:
        secrets(vault, tmp_path, APPROLE).filling(state)
    assert words in str(refused.value)
    assert PLANTED not in str(refused.value)


def test_a_number_is_filled_in_as_it_is_written(vault: Vault, tmp_path: Path) -> None:
    assert secrets(vault, tmp_path, TOKEN).filling(of("apps/web-01/db", "port")).values == {"db": "5432"}


def test_a_login_that_is_not_known_is_refused(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("planted-wrong-id")
    known = secrets(vault, tmp_path, {"role_id_file": "role_id", "secret_id_file": str(tmp_path / "wrong")})
    with pytest.raises(RefusedError, match="did not log this host in by approle") as refused:
        known.filling(STATE)
    assert "planted" not in str(refused.value)


def test_the_owner_says_which_paths_a_release_may_use(vault: Vault, tmp_path: Path) -> None:
    known = secrets(vault, tmp_path, TOKEN, config='[allow]\nsecrets = ["vault:secret/apps/web-01"]\n')
    assert known.filling(STATE).values == {"db": PLANTED}
    with pytest.raises(RefusedError, match=r"agent\.toml:2: `secrets` does not allow vault:secret/apps/web-02"):
        known.filling(of("apps/web-02/db"))


def test_a_namespace_is_told_with_each_question(tmp_path: Path) -> None:
    with vault_cases.spoken(tmp_path) as vault:
        vault.put("apps/web-01/db", password=PLANTED)
        known = secrets(vault, tmp_path, APPROLE)
        (tmp_path / "agent.toml").write_text((tmp_path / "agent.toml").read_text() + 'namespace = "teams/shop"\n')
        assert known.filling(STATE).values == {"db": PLANTED}
        assert vault.namespaces == {"teams/shop"}


def test_a_server_that_never_answers_is_given_up_on_and_not_asked_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "READ_SECONDS", 0.2)
    with vault_cases.spoken(tmp_path) as vault:
        vault.hangs.clear()
        known = secrets(vault, tmp_path, TOKEN)
        for _ in range(3):
            with pytest.raises(RefusedError, match="can't be asked now"):
                known.filling(STATE)
        assert len(vault.asked) == 1
        vault.hangs.set()


def test_a_server_whose_certificate_is_not_known_hears_nothing(vault: Vault, tmp_path: Path) -> None:
    vault_cases.certificate(tmp_path, "other")
    known = secrets(vault, tmp_path, TOKEN)
    stated = (tmp_path / "agent.toml").read_text().replace(vault.file("ca.pem"), str(tmp_path / "other.pem"))
    (tmp_path / "agent.toml").write_text(stated)
    asked = len(vault.asked)
    with pytest.raises(RefusedError, match="can't be asked now"):
        known.filling(STATE)
    assert len(vault.asked) == asked


def test_the_certificate_that_ordain_gave_the_host_is_never_shown_to_a_vault(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "state/identity").mkdir(parents=True)
    for name in ("host.pem", "host.key"):
        (tmp_path / "state/identity" / name).write_bytes(Path(vault.file(name)).read_bytes())
    ours = {name: str(tmp_path / "state/identity" / file) for name, file in CERTIFICATE.items()}
    with pytest.raises(RefusedError, match="of ordain's own authority, which nothing else trusts"):
        secrets(vault, tmp_path, ours).filling(STATE)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ('[vault]\naddress = "http://127.0.0.1:8200"\ntoken_file = "/t"\n', "nothing is asked without TLS"),
        ('[vault]\naddress = "https://127.0.0.1:8200"\n', "needs one of token_file"),
        ('[vault]\naddress = "https://127.0.0.1:8200"\ntoken_file = "/t"\nrole_id_file = "/r"\nsecret_id_file = "/s"\n', "needs one of"),
        ("[vault]\naddress = 1\n", "is text in quotes"),
        ('[secrets]\nrefresh = "1s"\n', "at least 5s"),
        ('[secrets]\nage_keys = ["web.key"]\n', "age_keys ="),
        ('[allow]\nsecrets = ["file:relative"]\n', "is no source of secrets"),
    ],
)
def test_what_agent_toml_says_of_secrets_is_understood_in_full_or_refused(tmp_path: Path, stated: str, words: str) -> None:
    (tmp_path / "agent.toml").write_text(stated)
    with pytest.raises(InputError, match=re.escape(words)):
        read_allow(tmp_path / "agent.toml"), read_secrets(tmp_path / "agent.toml")
