"""From a commit to three hosts and back, with real processes only."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.between import counting
from tests.acceptance_cases import agent, component, fleet, repository
from tests.e2e.installation import BIN, Installation, until

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(600)]
MOTD = "tenants/shop/components/motd.yaml"
FILES = repository() | {"tenants/shop/agents/web-03.yaml": agent("web-03", role="web")}
HOSTS = ("web-01", "web-02", "web-03")


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.stop()


def test_a_commit_reaches_three_agents(installation: Installation) -> None:
    head = installation.commit(FILES)
    installation.up()
    installation.examined(head)
    for name in HOSTS:
        installation.start_agent(name)
    until("all hosts hold it", lambda: all(installation.content(name, "/etc/motd") == "hello" for name in HOSTS))
    head = installation.commit({MOTD: component("motd", "/etc/motd", "for ${agent.name}")})
    until("all hosts hold the change", lambda: all(installation.content(name, "/etc/motd") == f"for {name}" for name in HOSTS))
    assert installation.fleet("shop/web")["commit"] == head
    status = installation.agent_status("web-01")
    assert [(one["fleet"], one["digest"]) for one in status["fleets"]] == [("web", installation.fleet("shop/web")["digest"])]
    assert installation.answers("/healthz")
    assert installation.answers("/readyz")
    assert installation.answers("/metrics")
    installation.down()


def test_an_invalid_commit_changes_no_host_and_names_its_line(installation: Installation) -> None:
    installation.commit(FILES)
    installation.up()
    until("trust", (installation.state / "trust/shop.root.json").exists)
    until("published", lambda: installation.once("web-01").returncode == 0 and installation.content("web-01", "/etc/motd") == "hello")
    before = installation.tree("web-01")
    bad = installation.commit({MOTD: component("motd", "/etc/motd", "worse", mode="0666")})
    until("refused", lambda: installation.status()["head"] == bad)
    found = installation.status()
    assert [one["file"] for one in found["refused"]] == [MOTD]
    assert [one["name"] for one in found["fleets"] if one["frozen"]] == ["web"]
    assert installation.once("web-01").returncode == 0
    assert installation.tree("web-01") == before
    done = subprocess.run([BIN / "ordain", "check", installation.repo, "--format", "json"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    [denied] = [one for one in json.loads(done.stdout)["verdicts"] if one["action"] == "deny"]
    wanted = next(number for number, line in enumerate((installation.repo / MOTD).read_text().splitlines(), 1) if "0666" in line)
    assert (denied["file"], denied["line"], denied["rule"]) == (MOTD, wanted, "host-safety/world-writable")
    assert "1 deny" in installation.git("notes", "--ref", "ordain/decisions", "show", bad)


def test_a_component_that_is_removed_is_gone_from_the_host(installation: Installation) -> None:
    more = {"tenants/shop/components/more.yaml": component("more", "/etc/more")}
    both = fleet("web", "motd}, {name: more", role="web")
    head = installation.commit(FILES | more | {"tenants/shop/fleets/web.yaml": both})
    installation.up()
    installation.examined(head)
    assert installation.once("web-01").returncode == 0
    assert installation.content("web-01", "/etc/more") == "hello"
    head = installation.commit(
        {"tenants/shop/components/more.yaml": None, "tenants/shop/fleets/web.yaml": FILES["tenants/shop/fleets/web.yaml"]}
    )
    installation.examined(head)
    assert installation.once("web-01").returncode == 0
    assert installation.content("web-01", "/etc/more") is None
    assert installation.content("web-01", "/etc/motd") == "hello"


def test_a_broken_agent_file_moves_nobody(installation: Installation) -> None:
    head = installation.commit(FILES)
    installation.up()
    installation.examined(head)
    for name in HOSTS:
        assert installation.once(name).returncode == 0
    before = {name: installation.tree(name) for name in HOSTS}
    digest = installation.fleet("shop/web")["digest"]
    bad = installation.commit({"tenants/shop/agents/web-02.yaml": "apiVersion: ["})
    until("examined", lambda: installation.status()["head"] == bad)
    for name in HOSTS:
        assert installation.once(name).returncode == 0
    assert {name: installation.tree(name) for name in HOSTS} == before
    assert installation.fleet("shop/web")["digest"] == digest
    assert installation.fleet("shop/web")["frozen"]


def test_one_host_more_makes_no_other_fetch_a_bundle(installation: Installation) -> None:
    head = installation.commit(FILES)
    installation.up()
    installation.examined(head)
    with counting(installation.url) as (address, asked):
        assert installation.once("web-01", server=address).returncode == 0
        assert any("/bundles/" in one.path for one in asked)
        head = installation.commit({"tenants/shop/agents/web-04.yaml": agent("web-04", role="web")})
        installation.examined(head)
        asked.clear()
        assert installation.once("web-01", server=address).returncode == 0
        assert any("/members/" in one.path for one in asked)
        assert not [one for one in asked if "/bundles/" in one.path]
        asked.clear()
        assert installation.once("web-01", server=address).returncode == 0
        assert not [one for one in asked if "/bundles/" in one.path or "/members/" in one.path]
    assert installation.fleet("shop/web")["commit"] == head
    assert [one["commit"] for one in installation.agent_status("web-01")["fleets"] if one["fleet"] == "web"] == [head]
    assert installation.once("web-04").returncode == 0
    assert installation.content("web-04", "/etc/motd") == "hello"


def test_a_server_that_is_away_leaves_hosts_as_they_are(installation: Installation) -> None:
    head = installation.commit(FILES)
    installation.up()
    installation.examined(head)
    assert installation.once("web-01").returncode == 0
    before = installation.tree("web-01")
    installation.down()
    assert installation.once("web-01").returncode == 3
    assert installation.tree("web-01") == before


def test_a_second_process_on_one_state_directory_is_refused(installation: Installation) -> None:
    installation.commit(FILES)
    installation.up()
    command = [str(BIN / "ordain"), "up", "--repo", str(installation.repo), "--state", str(installation.state), "--listen", "127.0.0.1:0"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "another process" in done.stderr


def test_rewritten_history_is_refused_until_a_person_names_it(installation: Installation) -> None:
    installation.commit(FILES)
    head = installation.commit({MOTD: component("motd", "/etc/motd", "second")})
    installation.up()
    installation.examined(head)
    installation.git("reset", "--quiet", "--hard", "HEAD~1")
    forced = installation.commit({MOTD: component("motd", "/etc/motd", "forced")})
    until("noticed", lambda: forced in (installation.status()["problem"] or {}).get("why", ""), log=installation.log)  # and not the reset
    assert installation.status()["head"] == head
    assert b"history was rewritten" in installation.log.read_bytes()
    problem = installation.status()["problem"]["why"]
    assert "history was rewritten" in problem
    assert f"ordain accept-history --state {installation.state} --head {forced}" in problem
    subprocess.run(
        [BIN / "ordain", "accept-history", "--state", installation.state, "--head", forced, "--reason", "a test"],
        check=True,
        capture_output=True,
    )
    installation.examined(forced)
    assert installation.status()["problem"] is None
    assert installation.once("web-01").returncode == 0
    assert installation.content("web-01", "/etc/motd") == "forced"


def test_an_empty_disk_beside_the_store_goes_on_from_it(installation: Installation) -> None:
    head = installation.commit(FILES)
    installation.up()
    installation.examined(head)
    serial = installation.fleet("shop/web")["serial"]
    installation.down()
    for name in ("mirror.git", "cache"):
        subprocess.run(["rm", "-rf", installation.state / name], check=True)
    installation.up()
    installation.examined(head)
    assert installation.fleet("shop/web")["serial"] == serial
    assert installation.once("web-01").returncode == 0


def test_an_older_accepted_state_that_is_put_back_is_refused(installation: Installation) -> None:
    head = installation.commit(FILES)
    installation.up()
    installation.examined(head)
    file = installation.state / "store/approved/accepted.json"
    old = file.read_bytes()
    head = installation.commit({MOTD: component("motd", "/etc/motd", "newer")})
    installation.examined(head)
    installation.down()
    file.write_bytes(old)
    installation.up()
    until("refused", lambda: b"an older state was put back" in installation.log.read_bytes(), log=installation.log)
    assert installation.once("web-01").returncode == 0
    assert installation.content("web-01", "/etc/motd") == "newer"
