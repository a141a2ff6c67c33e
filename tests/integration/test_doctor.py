"""`ordain doctor` on a real installation: what it finds, and that it finds nothing where nothing is wrong."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from reconciler.cli.doctor import doctor
from reconciler.doctor import examine
from reconciler.settings import Settings, SignatureSettings
from tests.acceptance_cases import repository
from tests.integration.test_signatures_loop import Team, host, people  # noqa: F401 - fixtures
from tests.signing_cases import NOW, owner, signer

pytestmark = pytest.mark.needs("opa", "git", "ssh-keygen")


def checks(state: Path, *, pinned: str = "") -> dict[str, tuple[str, str]]:
    found = examine(Settings(state=state, signatures=SignatureSettings(signers=pinned)), NOW)
    return {one.name: (one.level, one.says) for one in found}


def test_it_says_that_signatures_are_off_and_which_keys_are_for_development(host: Team) -> None:  # noqa: F811
    host.parts = replace(host.parts, pinned=())
    host.copy.commit("begin", dict(repository()))
    host.round()
    found = checks(host.parts.state)
    assert found["signatures"][0] == "warn"
    assert found["signatures"][1].startswith("off: whoever may push")
    assert "tenant" in found["development keys"][1]
    assert found["pipeline"] == ("ok", "nothing is refused, and no problem is known")
    assert found["keys"][0] == "ok"
    done = CliRunner().invoke(doctor, ["--state", str(host.parts.state), "--format", "json"])
    assert done.exit_code == 0, done.output
    assert {one["name"] for one in json.loads(done.output)["checks"]} >= {"OPA", "signatures", "disk of state"}


def test_it_says_whose_keys_end_and_what_is_refused(host: Team) -> None:  # noqa: F811
    host.begin()
    late = signer(host.bob, "may:\n  - {paths: [tenants/lab/**]}", tenant="lab", more="until: 2026-12-01T00:00:00Z")
    host.ana.commit(host.copy, "bob", {"tenants/lab/signers/bob.yaml": late})
    host.copy.commit("unsigned", {"README.md": "read me\n"})
    host.round()
    found = checks(host.parts.state)
    assert found["signatures"] == ("ok", "on, with 3 signers, 1 of them policy owners")
    assert found["pinned signers"][0] == "warn"
    assert found["signers"] == ("warn", "a key of lab/bob ends at 2026-12-01T00:00:00Z")
    assert found["pipeline"] == ("warn", "1 file is refused")


def test_what_it_is_told_and_can_not_read_is_bad(host: Team, tmp_path: Path) -> None:  # noqa: F811
    assert checks(host.parts.state, pinned=str(tmp_path / "nowhere.yaml"))["signatures"][0] == "bad"
    pinned = tmp_path / "pinned.yaml"
    pinned.write_text(owner(host.ana).replace("ssh-ed25519 AAAA", "ssh-ed25519 BBBB"))
    level, says = checks(host.parts.state, pinned=str(pinned))["signatures"]
    assert level == "bad"
    assert says.startswith(f"{pinned}:6:")
