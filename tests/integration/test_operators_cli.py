"""What people type: `ordain agents`, `token`, `operators`, `login`, `whoami` and `audit operations` against a real server behind TLS."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.protocol.enrolment import read_token
from agent.protocol.errors import InputError, OrdainError, RefusedError, RetryError
from agent.protocol.report import FleetReport
from reconciler.cli import cli, logins
from reconciler.control.registry import batches, pending, tokens
from tests.operator_cases import Site, other_root, site
from tests.registry_cases import received

pytestmark = pytest.mark.needs("opa")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that all tests look at; each changes what no other looks at."""
    from reconciler.opa.program import find_opa  # noqa: PLC0415 - only where OPA is there, see pytestmark

    with site(tmp_path_factory.mktemp("site"), find_opa(None)) as made:
        yield made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give commands a home of their own, where nobody has signed in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "ORDAIN_SERVER", "ORDAIN_TOKEN", "ORDAIN_AUTHORITY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*words: str, given: str = "") -> Result:
    """Run a command in this process; raise what `main` would print."""
    done = CliRunner().invoke(cli, [str(word) for word in words], input=given)
    if isinstance(done.exception, OrdainError):
        raise done.exception
    return done


def local(shared: Site, *words: str) -> Result:
    """Run a command with the state directory of the site."""
    done = run(*words, "--state", str(shared.state))
    assert done.exit_code == 0, done.output
    return done


def test_whoever_reads_the_state_directory_needs_no_sign_in(shared: Site) -> None:
    listed = local(shared, "agents", "list", "--tenant", "shop", "--name", "web-0")
    assert re.search(r"^AGENT +STATE +PRESENCE +FLEETS +LAST SEEN +RUNS +VERSION$", listed.stdout, re.MULTILINE)
    assert re.search(r"^shop/web-01 +enrolled +- +web +never +- +-$", listed.stdout, re.MULTILINE)
    found = json.loads(local(shared, "agents", "list", "--format", "json").stdout)
    assert {"lab/lab-01", "shop/web-01"} <= {f"{one['tenant']}/{one['agent']}" for one in found["agents"]}
    assert json.loads(local(shared, "whoami", "--format", "json").stdout)["subject"] == "local"


def test_what_runs_where_stands_in_the_list_with_what_is_not_as_usual(shared: Site) -> None:
    said = [
        FleetReport(fleet="web", result="applied", digest="7" * 64),
        FleetReport(fleet="base", result="failed", digest="9" * 64, mode="incident", drift=2),
    ]
    with shared.registry.begin() as connection:
        batches.write_batches(connection, [received("web-02", statuses=said)])
    listed = local(shared, "agents", "list", "--name", "web-02").stdout
    assert f"base {'9' * 12} (failed, mode incident, drift 2); web {'7' * 12}  1.0\n" in listed
    found = json.loads(local(shared, "agents", "list", "--name", "web-02", "--format", "json").stdout)["agents"][0]["runs"]
    assert [(one["fleet"], one["digest"], one["mode"]) for one in found] == [("base", "9" * 64, "incident"), ("web", "7" * 64, "")]
    shown = local(shared, "agents", "show", "shop/web-02").stdout
    assert re.search(r"^base +failed +9{12} +incident +2 ", shown, re.MULTILINE)


def test_a_limit_is_a_number_of_rows_over_all_pages(shared: Site) -> None:
    first = local(shared, "agents", "list", "--limit", "2", "--format", "json")
    assert len(json.loads(first.stdout)["agents"]) == 2
    assert first.stderr == "the first 2; there are more\n"
    assert local(shared, "agents", "list", "--limit", "500").stderr == ""


def test_a_token_for_an_agent_is_one_line_and_in_json_says_when_it_expires(shared: Site) -> None:
    made = local(shared, "token", "create", "--tenant", "shop", "--agent", "web-01", "--ttl", "1h")
    assert read_token(made.stdout).body.tenant == "shop"
    assert "expires" in made.stderr
    found = json.loads(local(shared, "token", "create", "--tenant", "shop", "--pool", "runners", "--uses", "3", "--format", "json").stdout)
    assert read_token(found["token"]).body.id == found["id"]
    assert found["expires"] > datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert "3 of 3" in local(shared, "token", "list", "--tenant", "shop").stdout
    local(shared, "token", "revoke", found["id"], "--tenant", "shop")
    assert re.search(rf"^{found['id']} .* revoked$", local(shared, "token", "list", "--tenant", "shop").stdout, re.MULTILINE)


def test_a_token_whose_time_is_over_is_not_shown_as_one_that_serves(shared: Site) -> None:
    now = datetime.now(UTC)
    with shared.registry.begin() as connection:
        made, _ = tokens.create(connection, "shop", agent="web-02", expires_at=now - timedelta(minutes=1), by="test", now=now)
    assert re.search(rf"^{made.id} .* expired$", local(shared, "token", "list", "--tenant", "shop").stdout, re.MULTILINE)
    over = shared.token_of("late", ttl=timedelta(seconds=-1), tenants=["shop"], actions=["agents.read"]).split(".")[1]
    listed = local(shared, "operators", "token", "list", "--subject", "operator:late").stdout
    assert re.search(rf"^{over} .* agents\.read, shop .* expired$", listed, re.MULTILINE)
    assert re.search("^ID .*  ONLY FOR  ", listed, re.MULTILINE)


def test_a_token_for_a_host_that_git_does_not_know_is_made_with_a_note(shared: Site) -> None:
    made = local(shared, "token", "create", "--tenant", "shop", "--agent", "web-99")
    assert "git does not know shop/web-99 yet" in made.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("token", "create", "--tenant", "shop"),
        ("token", "create", "--tenant", "shop", "--agent", "a", "--pool", "b"),
        ("token", "create", "--tenant", "shop", "--agent", "a", "--ttl", "soon"),
        ("token", "create", "--tenant", "shop", "--agent", "a", "--uses", "0"),
        ("agents", "revoke", "shop/web-01"),
        ("agents", "decommission", "shop/web-01", "--reason", "x"),
        ("agents", "list", "--seen-since", "lately"),
    ],
)
def test_wrong_usage_ends_with_2_and_asks_nobody(words: tuple[str, ...]) -> None:
    assert run(*words, "--state", "/nowhere").exit_code == 2


def test_an_agent_is_shown_held_let_go_and_taken_out(shared: Site) -> None:
    shared.enrol("shop", "web-20")
    assert local(shared, "agents", "quarantine", "shop/web-20", "--reason", "odd").stderr == "shop/web-20 is quarantined\n"
    shown = local(shared, "agents", "show", "shop/web-20").stdout
    assert re.search(r"^state +quarantined by local at ", shown, re.MULTILINE)
    assert re.search(r"^reason +odd$", shown, re.MULTILINE)
    local(shared, "agents", "release", "shop/web-20", "--reason", "fine")
    assert "fine" not in local(shared, "agents", "show", "shop/web-20").stdout, "why it was let go is in the audit"
    done = local(shared, "agents", "decommission", "shop/web-20", "--leave", "keep", "--reason", "sold", "--format", "json")
    assert json.loads(done.stdout) == {"target": "shop/web-20", "state": "decommissioned"}
    assert "shop/web-20" in local(shared, "agents", "list", "--in-state", "decommissioned").stdout
    trail = local(shared, "audit", "operations", "--tenant", "shop").stdout
    assert re.search(r"local +agents\.decommission +shop/web-20 +done +sold$", trail, re.MULTILINE)
    assert "entries hold" in local(shared, "audit", "operations", "--tenant", "shop", "--verify").stdout


def test_what_is_not_there_is_wrong_input(shared: Site) -> None:
    with pytest.raises(InputError, match="no agent shop/web-98 ever enrolled"):
        local(shared, "agents", "show", "shop/web-98")
    with pytest.raises(InputError, match="is not an agent's name"):
        local(shared, "agents", "show", "web-98")


def test_words_of_a_host_can_not_move_the_cursor(shared: Site) -> None:
    facts = {"os": "\x1b[31mred"}
    shared.registry.write(pending.note, "lab", "lab-66", why="unknown", how="token:t", address="::1", facts=facts, now=datetime.now(UTC))
    shown = local(shared, "agents", "pending", "--tenant", "lab")
    assert "lab/lab-66" in shown.stdout
    assert "\x1b" not in local(shared, "agents", "pending", "--tenant", "lab", "--format", "json").stdout


def sign_in(shared: Site, who: str) -> None:
    """Keep a login as `ordain login --token` does."""
    root = shared.directory / "root.pem"
    root.write_text(shared.root)
    done = run("login", "--server", shared.url, "--authority", str(root), "--token", given=shared.token_of(who) + "\n")
    assert done.exit_code == 0, done.output


def test_a_token_from_stdin_signs_in_and_is_kept_for_its_owner_alone(shared: Site, home: Path) -> None:
    sign_in(shared, "viewer")
    file = home / ".config" / "ordain" / "logins.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert re.search(r"^subject +operator:viewer$", run("whoami").stdout, re.MULTILINE)
    assert re.search(r"^shop +viewer +all$", run("whoami").stdout, re.MULTILINE)
    with pytest.raises(RefusedError, match=r"no role of operator:viewer allows agents\.revoke in tenant shop"):
        run("agents", "revoke", "shop/web-01", "--reason", "x")
    file.chmod(0o644)
    with pytest.raises(InputError, match="others can read it"):
        run("whoami")


def test_a_program_has_its_server_and_token_from_the_environment(shared: Site, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = home / "root.pem"
    root.write_text(shared.root)
    for name, value in {"SERVER": shared.url, "TOKEN": shared.token_of("operator"), "AUTHORITY": str(root)}.items():
        monkeypatch.setenv(f"ORDAIN_{name}", value)
    assert json.loads(run("whoami", "--format", "json").stdout)["subject"] == "operator:operator"


def test_signing_out_forgets_the_token_here_and_there(shared: Site) -> None:
    sign_in(shared, "short")
    token = logins.read(logins.place()).servers[shared.url].token
    assert run("logout").exit_code == 0
    assert shared.ask("GET", "/api/v1/whoami", token=token).status == 401
    with pytest.raises(InputError, match="which server"):
        run("whoami")


def test_a_server_that_another_authority_vouches_for_is_never_sent_the_token(shared: Site, home: Path) -> None:
    (home / "other.pem").write_text(other_root())
    with pytest.raises(RefusedError, match="is not the server that is expected"):
        run("login", "--server", shared.url, "--authority", str(home / "other.pem"), "--token", given=shared.token_of("viewer"))
    assert not logins.place().exists()


def test_a_program_that_has_no_root_is_told_how_to_name_one(shared: Site, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDAIN_SERVER", shared.url)
    monkeypatch.setenv("ORDAIN_TOKEN", shared.token_of("viewer"))
    with pytest.raises(RefusedError, match="name the file of its root in ORDAIN_AUTHORITY"):
        run("whoami")
    monkeypatch.setenv("ORDAIN_AUTHORITY", str(home / "nowhere.pem"))
    with pytest.raises(InputError, match=r"nowhere\.pem: No such file or directory; it should hold the root"):
        run("whoami")
    (home / "nowhere.pem").write_text("not a certificate\n")
    with pytest.raises(InputError, match="are no certificates in PEM"):
        run("whoami")
    with pytest.raises(InputError, match="write the SHA-256 of the root, 64 digits"):
        run("login", "--server", shared.url, "--fingerprint", "5f3a")


def test_a_port_that_speaks_no_tls_is_said_to_be_the_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDAIN_TOKEN", "x")
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(InputError, match="does not speak TLS; is it the right port"):
            run("whoami", "--server", f"https://127.0.0.1:{plain.getsockname()[1]}")
        thread.join()


def test_a_server_that_is_not_there_can_be_tried_later(shared: Site, home: Path) -> None:
    (home / "state").mkdir()
    for name in ("control.json", "local-token"):
        (home / "state" / name).write_bytes((shared.state / name).read_bytes().replace(shared.url.encode(), b"https://127.0.0.1:9"))
    with pytest.raises(RetryError, match="is `ordain serve` running"):
        run("whoami", "--state", str(home / "state"))
    with pytest.raises(InputError, match="no server has run on this state directory"):
        run("whoami", "--state", str(home))


@pytest.mark.parametrize("url", ["http://ordain.example.com", "ordain.example.com", "https://u:p@example.com", "https://a.example/api"])
def test_a_server_is_named_by_its_https_address(url: str) -> None:
    with pytest.raises(InputError, match="is not the address of a server"):
        run("login", "--server", url, "--fingerprint", "00")


def test_operators_are_added_given_tokens_and_removed(shared: Site) -> None:
    assert "may do what Role manifests say" in local(shared, "operators", "add", "robot", "--name", "a robot").stderr
    made = json.loads(local(shared, "operators", "token", "create", "operator:robot", "--action", "agents.read", "--format", "json").stdout)
    assert made["token"].startswith("ordainop1.")
    assert re.search(rf"^{made['id']} +operator:robot +token ", local(shared, "operators", "token", "list").stdout, re.MULTILINE)
    local(shared, "operators", "token", "revoke", made["id"])
    local(shared, "operators", "remove", "operator:robot", "--reason", "retired")
    assert re.search(r"^operator:robot +a robot .*: retired$", local(shared, "operators", "list").stdout, re.MULTILINE)
    trail = local(shared, "audit", "operations").stdout
    assert re.search(r"operators\.remove +operator:robot +done +retired$", trail, re.MULTILINE)


def test_webhooks_are_made_rotated_and_removed_and_secrets_shown_once(shared: Site) -> None:
    made = json.loads(local(shared, "hooks", "add", "github", "--reason", "our fleets", "--format", "json").stdout)
    assert (made["forge"], made["path"], len(made["secret"])) == ("github", "/v1/hooks/github", 43)
    listed = local(shared, "hooks", "list").stdout
    assert re.search(rf"^{made['id']} +github ", listed, re.MULTILINE)
    assert made["secret"] not in listed
    rotated = local(shared, "hooks", "rotate", made["id"], "--reason", "once a year")
    assert len(rotated.stdout.strip()) == 43
    assert made["secret"] not in rotated.stdout
    local(shared, "hooks", "remove", made["id"])
    with pytest.raises(InputError, match="there is no webhook"):
        local(shared, "hooks", "rotate", made["id"], "--reason", "again")
    trail = local(shared, "audit", "operations").stdout
    assert all(re.search(rf"hooks\.{action} +github/{made['id']} +done", trail) for action in ("add", "rotate", "remove"))
    assert made["secret"] not in trail


def test_who_runs_a_tenant_makes_no_webhooks(shared: Site) -> None:
    for method, path, body in (("GET", "", None), ("POST", "", {"forge": "github", "reason": "x"}), ("DELETE", "/0123", None)):
        assert shared.ask(method, f"/api/v1/hooks{path}", who="admin", body=body).status == 403
