"""Expiry as people and Prometheus see it."""

import json
import re
import time
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.protocol import codec
from agent.protocol.errors import InputError
from reconciler import key_status, metrics
from reconciler.cli.keys import keys
from reconciler.control.authority.ceremony import development_authority
from reconciler.control.authority.change import Change
from reconciler.key_status import Expiry, KeyExpiryCollector, gather
from reconciler.publication import layout
from tests.key_cases import Installation
from tests.publication_cases import now

ROLES = {"root", "targets", "controls", "releases", "rollouts", "snapshot", "timestamp"}


@pytest.fixture
def installed(tmp_path: Path) -> Installation:
    made = Installation(directory=tmp_path)
    made.found()
    made.zone().approve("first")
    made.controls("web")
    made.publish()
    return made


def warnings(installed: Installation, days: float) -> dict[str, str]:
    later = now() + timedelta(days=days)
    return {one.role: one.warning(later) for one in gather(installed.store) if one.warning(later)}


def test_every_role_says_until_when_it_is_valid_and_by_which_key(installed: Installation, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "pipeline").rename(tmp_path / "keys" / "pipeline")
    done = CliRunner().invoke(keys, ["status", "--state", str(tmp_path), "--format", "json"])
    assert done.exit_code == 0, done.output
    found = {one["role"]: one for one in json.loads(done.stdout)["keys"]}
    assert found.keys() == ROLES
    assert len(found["root"]["keys"]) == 3
    assert found["timestamp"]["keys"] == [installed.signer("shop/timestamp").public_key.keyid]
    assert found["timestamp"]["fleet"] == "web"
    assert 729 * 86400 < found["root"]["seconds"] <= 730 * 86400
    text = CliRunner(env={"COLUMNS": "40"}).invoke(keys, ["status", "--state", str(tmp_path)])
    assert text.exit_code == 0
    assert re.search(rf"^shop +web +timestamp +{found['timestamp']['expires']} +[0-9]+ h +[0-9a-f]{{12}} +-$", text.stdout, re.MULTILINE)
    assert "730 d" in text.stdout or "729 d" in text.stdout


@pytest.mark.parametrize(("left", "warning"), [(61, None), (59, "60d"), (29, "30d"), (13, "14d"), (-1, "expired")])
def test_people_are_warned_60_30_and_14_days_ahead(installed: Installation, left: int, warning: str | None) -> None:
    assert warnings(installed, 365 - left).get("targets") == warning


def test_what_loops_renew_warns_only_once_they_are_late(installed: Installation) -> None:
    assert warnings(installed, 0.5) == {}
    assert warnings(installed, 0.7) == {"timestamp": "late"}
    assert warnings(installed, 41) == {
        "timestamp": "expired",
        "snapshot": "expired",
        "rollouts": "expired",
        "controls": "late",
        "releases": "late",
    }


def test_a_trust_that_can_not_be_read_is_a_warning_and_hides_no_other_tenant(installed: Installation, tmp_path: Path) -> None:
    (tmp_path / "store/trust/lab").mkdir()
    (tmp_path / "store/trust/lab/1.root.json").write_bytes(b"nonsense")
    (tmp_path / "store/trust/lab/1.targets.json").write_bytes(b"nonsense")
    found = {one.tenant: one.warning(now()) for one in gather(installed.store)}
    assert found == {"lab": "unreadable", "shop": ""}


def test_both_keys_show_while_releases_are_rotated(installed: Installation) -> None:
    old = installed.signer("shop/releases").public_key.keyid
    installed.make("pipeline", "releases")
    installed.rotate("releases", zones=["pipeline"])
    held = {one.role: one.keys for one in gather(installed.store)}
    assert held["releases"] == held["controls"] == (old,)
    installed.renew("web")
    held = {one.role: one.keys for one in gather(installed.store)}
    assert held["releases"] == held["controls"] == (installed.signer("shop/releases").public_key.keyid,)


def test_metrics_tell_the_earliest_expiry_of_a_tenants_fleets_and_what_must_be_seen_to(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = metrics.exposition(KeyExpiryCollector(installed.store, installed.ring("pipeline").publics("repository")))
    deadline = time.monotonic() + 20
    while 'role="root"' not in (text := render().decode()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert {f'ordain_key_expiry_seconds{{role="{role}",tenant="shop"}}' for role in ROLES} <= {
        line.split()[0] for line in text.splitlines()
    }
    assert "ordain_key_expiry_warnings{" not in text
    monkeypatch.setattr(key_status, "DAYS", (14, 30, 800))
    assert 'ordain_key_expiry_warnings{role="root",tenant="shop",warning="800d"} 1.0' in render().decode()


def test_an_expiry_at_this_instant_is_expired() -> None:
    at = now()
    assert Expiry(tenant="shop", role="root", expires=at).warning(at) == "expired"


def test_a_place_where_nothing_is_signed_is_an_error_so_that_no_monitoring_stays_green(tmp_path: Path) -> None:
    answer = CliRunner().invoke(keys, ["status", "--state", str(tmp_path)])
    assert isinstance(answer.exception, InputError)
    assert "nothing is signed there; is --state" in str(answer.exception)


def test_the_authoritys_certificates_warn_in_time_and_those_that_nothing_is_issued_by_do_not(
    installed: Installation, tmp_path: Path
) -> None:
    development_authority(tmp_path / "authority", installed.store, ["shop"])
    found = {one.role: one for one in gather(installed.store) if one.role.startswith("authority")}
    assert found.keys() == {"authority", "authority/root", "authority/server"}
    assert (found["authority"].tenant, found["authority/root"].tenant) == ("shop", "")
    assert [found["authority"].warning(now() + timedelta(days=days)) for days in (600, 700, 731)] == ["", "30d", "expired"]
    assert found["authority/root"].warning(now() + timedelta(days=3600)) == "60d"
    change = Change(format=1, current=2, server=2)
    installed.store.create(layout.AUTHORITY_CHANGE, codec.canonical(change))
    assert not [one for one in gather(installed.store) if one.role.startswith("authority")]
