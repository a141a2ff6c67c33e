"""Secrets on a host: resolved in memory, put where the release says, rotated without one, never shown by value."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyrage
import pytest

from agent.host import Host
from agent.logs import Log
from agent.processes.supervisor import supervise
from agent.protocol.state import File, Process, Secret, State, VaultSource
from agent.secrets.keys import HostKeys
from reconciler.pipeline.compile.secrets import sealed_fields
from tests import agent_cases
from tests.agent_cases import Rig

PLANTED = "planted-7c41-value"
ROTATED = "planted-9e02-other"
SEALED = Path(__file__).parents[1] / "vectors" / "secrets"
CONFIG = "/etc/app/app.conf"
LOCAL = "/etc/ordain/secrets/db"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with agent_cases.rig(tmp_path) as made:
        try:
            yield made
        finally:
            supervise(made.state / "processes", host=Host(made.root), log=Log()).close(leave_running=False)


def lay(rig: Rig, value: str, path: str = LOCAL, mode: int = 0o600) -> None:
    """Put a secret onto the host, as its owner does."""
    place = rig.root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(value)
    place.chmod(mode)


def local(**changes: object) -> State:
    state = State(files=[File(path=CONFIG, content="pw=${secret.db}\n")], secrets=[Secret(name="db", file=LOCAL)])
    return msgspec.structs.replace(state, **changes)


def sealed(data: bytes, key: str = "") -> Secret:
    return msgspec.convert({"name": "db", **sealed_fields(data, key)}, Secret)


def holding(place: Path, *planted: str) -> list[Path]:
    """Return the files below a directory that hold one of the values."""
    files = [path for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if any(value.encode() in path.read_bytes() for value in planted)]


def app(rig: Rig) -> Process:
    script = f'echo started >> {rig.directory}/app.starts; echo "$PW" > {rig.directory}/app.sees; exec sleep 10000'
    return Process(name="app", command=["/bin/sh", "-c", script], environment={"PW": "${secret.db}"}, restart_on=[CONFIG])


def test_a_secret_of_the_host_is_filled_in_for_its_owner_alone_and_stands_nowhere_else(rig: Rig) -> None:
    lay(rig, PLANTED + "\n")
    rig.fleet().publish(local(processes=[app(rig)]), ["web-01"])
    assert rig.poll() == 0, rig.log
    place = rig.root / CONFIG.lstrip("/")
    assert place.read_text() == f"pw={PLANTED}\n"
    assert oct(place.stat().st_mode & 0o777) == "0o600"
    assert holding(rig.root, PLANTED) == sorted([place, rig.root / LOCAL.lstrip("/")])
    assert holding(rig.state, PLANTED) == []
    assert PLANTED not in rig.log


def test_what_is_encrypted_to_the_host_with_age_is_opened_there(rig: Rig) -> None:
    assert "host.key is not there; `ordain-agent secrets init` makes it" in rig.ask("secrets", "show").stderr
    recipient = rig.answer("secrets", "init")["recipient"]
    assert rig.answer("secrets", "init")["recipient"] == rig.answer("secrets", "show")["recipient"] == recipient
    assert oct((rig.state / "secrets/host.key").stat().st_mode & 0o777) == "0o600"
    data = pyrage.encrypt(PLANTED.encode(), [pyrage.x25519.Recipient.from_str(recipient)], armored=True)
    rig.fleet().publish(local(secrets=[sealed(data)]), ["web-01"])
    assert rig.poll() == 0, rig.log
    assert rig.text(CONFIG) == f"pw={PLANTED}\n"
    assert rig.answer("facts")["facts"]["recipient"] == recipient


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("app.sops.yaml", "db.password", "hunter2-planted"),
        ("app.sops.env", "B", '"q u\nx"'),
    ],
)
def test_a_file_by_sops_is_opened_with_a_fleets_key_that_the_owner_laid_here(rig: Rig, file: str, key: str, value: str) -> None:
    lay(rig, (SEALED / "age.key").read_text(), "/etc/ordain/keys/web.key")
    rig.config.write_text('[secrets]\nage_keys = ["/etc/ordain/keys/web.key"]\n')
    rig.fleet().publish(local(secrets=[sealed((SEALED / file).read_bytes(), key)]), ["web-01"])
    assert rig.poll() == 0, rig.log
    assert rig.text(CONFIG) == f"pw={value}\n"
    assert holding(rig.state, "hunter2-planted") == []


def test_a_secret_that_is_rotated_on_the_host_is_there_without_a_release_and_restarts_what_reads_it(rig: Rig) -> None:
    lay(rig, PLANTED)
    rig.fleet().publish(local(processes=[app(rig)], drift="report"), ["web-01"])
    assert rig.poll() == 0, rig.log
    lay(rig, ROTATED)
    assert rig.poll() == 0, rig.log
    assert "rotated" in rig.log
    assert "drift" not in rig.log
    assert rig.text(CONFIG) == f"pw={ROTATED}\n"
    assert (rig.directory / "app.sees").read_text() == f"{ROTATED}\n"
    assert (rig.directory / "app.starts").read_text().count("started") == 2
    assert rig.poll() == 0
    assert (rig.directory / "app.starts").read_text().count("started") == 2
    assert rig.status()["drift"] == []
    assert holding(rig.state, PLANTED, ROTATED) == []


def test_a_process_whose_secret_can_not_be_had_after_a_restart_goes_on_and_is_never_started_without_it(rig: Rig) -> None:
    lay(rig, PLANTED)
    rig.fleet().publish(local(processes=[app(rig)]), ["web-01"])
    assert rig.poll() == 0, rig.log
    (rig.root / LOCAL.lstrip("/")).unlink()
    assert rig.poll() == 0, "another agent, which knows no value: what runs goes on"
    assert "can't be put right: secret db (file /etc/ordain/secrets/db): /etc/ordain/secrets/db is not there" in rig.log
    supervise(rig.state / "processes", host=Host(rig.root), log=Log()).close(leave_running=False)
    rig.poll()
    assert (rig.directory / "app.sees").read_text() == f"{PLANTED}\n"
    assert (rig.directory / "app.starts").read_text().count("started") == 1
    lay(rig, ROTATED)
    assert rig.poll() == 0, rig.log
    assert (rig.directory / "app.sees").read_text() == f"{ROTATED}\n"


@pytest.mark.parametrize("place", ["agent:after-stage", "agent:mid-switch", "agent:before-commit"])
def test_a_crash_leaves_copies_that_their_owner_alone_reads_and_the_next_start_removes(rig: Rig, place: str) -> None:
    lay(rig, PLANTED)
    other = File(path="/etc/app/other.conf", content="${secret.db}")
    rig.fleet().publish(local(files=[File(path=CONFIG, content="pw=${secret.db}\n"), other]), ["web-01"])
    assert rig.poll() == 0, rig.log
    lay(rig, ROTATED)
    assert rig.run(fault=place).returncode == -9
    left = [*holding(rig.state, PLANTED, ROTATED), *holding(rig.root / "etc/app", PLANTED, ROTATED)]
    assert {oct(path.stat().st_mode & 0o777) for path in left} == {"0o600"}
    assert rig.poll() == 0, rig.log
    assert holding(rig.state, PLANTED, ROTATED) == []
    assert holding(rig.root / "etc", PLANTED) == []
    assert {path.name for path in holding(rig.root, ROTATED)} == {"app.conf", "other.conf", "db"}


def test_drift_of_a_file_with_a_secret_is_shown_by_digests_that_nobody_can_try_values_against(rig: Rig) -> None:
    lay(rig, PLANTED)
    rig.fleet().publish(local(drift="report"), ["web-01"])
    assert rig.poll() == 0, rig.log
    (rig.root / CONFIG.lstrip("/")).write_text("pw=guess\n")
    lay(rig, ROTATED)
    assert rig.poll() == 0, rig.log
    [drift] = rig.status()["drift"]
    assert drift["path"] == CONFIG
    assert drift["expected"].startswith("keyed:")
    assert drift["actual"].startswith("keyed:")
    assert rig.text(CONFIG) == "pw=guess\n", "only reported"


REFUSED = {
    "secret db (file /etc/ordain/secrets/none): /etc/ordain/secrets/none is not there": (
        "",
        Secret(name="db", file="/etc/ordain/secrets/none"),
    ),
    "`secrets` does not allow file:/etc/other/db (for db)": ("", Secret(name="db", file="/etc/other/db")),
    "agent.toml:2: `secrets` does not allow file:": ("[allow]\nsecrets = ['age']\n", Secret(name="db", file=LOCAL)),
    "can be read or changed by others (mode 0644)": ("[allow]\nsecrets = ['file:/']\n", Secret(name="db", file="/etc/other/open")),
    "secret db (age): there is no key here": (
        "",
        sealed(pyrage.encrypt(PLANTED.encode(), [pyrage.x25519.Identity.generate().to_public()])),
    ),
    "no UTF-8 text": ("", Secret(name="db", file="/etc/ordain/secrets/bytes")),
    "has no section [vault]": ("", Secret(name="db", vault=VaultSource(path="apps/db", field="password"))),
}
"""Why → what agent.toml says, and the secret of a release."""


def test_a_secret_that_can_not_be_had_refuses_the_release_and_what_runs_goes_on(rig: Rig) -> None:
    lay(rig, PLANTED)
    lay(rig, PLANTED, "/etc/other/open", 0o644)
    (rig.root / "etc/ordain/secrets/bytes").write_bytes(b"\xff\xfe" + PLANTED.encode())
    (rig.root / "etc/ordain/secrets/bytes").chmod(0o600)
    fleet = rig.fleet()
    fleet.publish(State(files=[File(path=CONFIG, content="old")]), ["web-01"])
    assert rig.poll() == 0, rig.log
    for words, (config, secret) in REFUSED.items():
        rig.config.write_text(config)
        fleet.publish(local(secrets=[secret]), ["web-01"])
        assert rig.poll() == 1, rig.log
        status = rig.status()
        assert (status["result"], status["generation"]) == ("refused", 1)
        assert words in status["why"]
        assert PLANTED not in rig.log
    assert rig.text(CONFIG) == "old"
    assert holding(rig.state, PLANTED) == []


def test_what_a_check_prints_of_a_secret_is_taken_out_of_everything_that_is_kept_or_said(rig: Rig) -> None:
    lay(rig, PLANTED)
    file = File(path=CONFIG, content="pw=${secret.db}\n", check=["/bin/sh", "-c", "cat $0; exit 1", "{staged}"])
    rig.fleet().publish(local(files=[file]), ["web-01"])
    assert rig.poll() == 1
    assert "…secret db…" in rig.status()["why"]
    assert PLANTED not in rig.log
    assert holding(rig.state, PLANTED) == []
    assert rig.files() == {}


def test_a_release_that_gives_others_a_file_with_a_secret_is_refused(rig: Rig) -> None:
    lay(rig, PLANTED)
    rig.fleet().publish(local(files=[File(path=CONFIG, content="${secret.db}", mode="0640")]), ["web-01"])
    assert rig.poll() == 1
    assert "gives more than 0600" in rig.status()["why"]


def test_keys_that_others_may_read_are_not_used(rig: Rig) -> None:
    HostKeys(directory=rig.state / "secrets").make()
    (rig.state / "secrets/host.key").chmod(0o644)
    data = pyrage.encrypt(PLANTED.encode(), [pyrage.x25519.Recipient.from_str(HostKeys(directory=rig.state / "secrets").recipient())])
    rig.fleet().publish(local(secrets=[sealed(data)]), ["web-01"])
    assert rig.poll() == 1
    assert "is not its owner's alone" in rig.status()["why"]


def test_an_agent_without_secrets_never_loads_what_opens_them(rig: Rig) -> None:
    rig.fleet().publish(State(files=[File(path=CONFIG, content="plain")]), ["web-01"])
    environment = {**os.environ, "PYTHONVERBOSE": "1"}

    done = subprocess.run(rig.command("--once"), env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert "import 'agent.secrets.values'" in done.stderr
    assert "import 'pyrage" not in done.stderr
