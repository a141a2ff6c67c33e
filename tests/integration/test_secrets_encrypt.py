"""`ordain secrets encrypt`, and what `ordain check` says of whom secrets are encrypted to; what it writes the real age opens too."""

import shutil
import subprocess
from pathlib import Path

import pyrage
import pytest
from click.testing import CliRunner

from reconciler.cli import cli
from tests.compile_cases import Case
from tests.unit.test_secret_references import case

PLANTED = b"planted-8f30-value\n"
USED = "{files: [{path: /etc/a, content: '${secret.db}'}], secrets: [{name: db, source: files/db.age}]}"
AGENTS = "tenants/shop/agents.yaml"


class Keys:
    """A key, and its public half."""

    def __init__(self) -> None:
        self.identity = pyrage.x25519.Identity.generate()
        self.public = str(self.identity.to_public())


def repository(place: Path, made: Case) -> Path:
    for name, data in made.files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    (place / "pw").write_bytes(PLANTED)
    return place


def hosts(made: Case, one: str, other: str) -> Case:
    """Give both agents of the case a recipient, and take its pool out of the fleet."""
    made = made.edit(AGENTS, "rack: r1}}\nspec: {}", f"rack: r1}}}}\nspec: {{recipient: {one}}}")
    made = made.edit(AGENTS, "rack: r2}}\nspec: {}", f"rack: r2}}}}\nspec: {{recipient: {other}}}")
    return made.edit(AGENTS, "labels: {role: web, region: eu}}\nspec: {maximum", "labels: {role: job, region: eu}}\nspec: {maximum")


def encrypt(place: Path, *options: str) -> tuple[int, str, bytes]:
    done = CliRunner().invoke(cli, ["secrets", "encrypt", *options, str(place / "pw"), "--repository", str(place)])
    return done.exit_code, done.output + (str(done.exception) if done.exception else ""), done.stdout_bytes


def test_a_value_is_encrypted_to_the_hosts_of_a_fleet_and_their_names_stand_beside_it(tmp_path: Path) -> None:
    one, other = Keys(), Keys()
    place = repository(tmp_path, hosts(case(USED, db_age=b"x"), one.public, other.public))
    sealed = place / "tenants/shop/components/files/db.age"
    code, said, _ = encrypt(place, "--to", "shop/web", "-o", str(sealed), "--format", "json")
    assert code == 0, said
    for keys in (one, other):
        assert pyrage.decrypt(sealed.read_bytes(), [keys.identity]) == PLANTED
    beside = sealed.with_name("db.age.recipients").read_text()
    assert beside == f"{one.public} # shop/web-01\n{other.public} # shop/web-02\n"
    assert PLANTED.decode().strip() not in said + beside + sealed.read_text()


def test_a_fleets_own_key_is_enough_for_all_its_members(tmp_path: Path) -> None:
    shared = Keys()
    made = case(USED, db_age=b"x").edit("tenants/shop/fleets/web.yaml", "spec:\n", f"spec:\n  recipients: [{shared.public}]\n")
    place = repository(tmp_path, made)
    code, said, printed = encrypt(place, "--to", "shop/web")
    assert code == 0, said
    assert pyrage.decrypt(printed, [shared.identity]) == PLANTED


@pytest.mark.skipif(shutil.which("age") is None, reason="age is not on PATH")
def test_age_itself_opens_what_is_encrypted(tmp_path: Path) -> None:
    keys = Keys()
    place = repository(tmp_path, case(USED, db_age=b"x"))
    (tmp_path / "key").write_text(str(keys.identity))
    code, said, printed = encrypt(place, "--to", keys.public)
    assert code == 0, said
    done = subprocess.run(["age", "-d", "-i", str(tmp_path / "key")], input=printed, capture_output=True, check=True)
    assert done.stdout == PLANTED


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "say whom to encrypt to"),
        (("--to", "shop/web"), "has no key of its own, and runners, web-01, web-02 no recipient in git"),
        (("--to", "shop/wbe"), "there is no such fleet"),
        (("--to", "age1short"), "write a recipient"),
        (("--to", "age1" + "q" * 58), "misspelt"),
    ],
)
def test_whom_nobody_knows_is_refused_by_name(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    code, said, _ = encrypt(repository(tmp_path, case(USED, db_age=b"x")), *options)
    assert code != 0
    assert words in said


def test_a_file_with_recipients_is_read_line_by_line(tmp_path: Path) -> None:
    keys = Keys()
    (tmp_path / "team.txt").write_text(f"# the team\n\n{keys.public} # ana\n")
    code, said, printed = encrypt(repository(tmp_path, case(USED, db_age=b"x")), "--recipients", str(tmp_path / "team.txt"))
    assert code == 0, said
    assert pyrage.decrypt(printed, [keys.identity]) == PLANTED


def test_members_that_can_not_open_a_secret_are_a_warning_where_that_is_known() -> None:
    one, other = Keys(), Keys()
    data = pyrage.encrypt(PLANTED, [one.identity.to_public()])
    made = hosts(case(USED, db_age=data), one.public, other.public)
    assert made.findings() == [], "an age file does not say whom it is for"
    beside = {"tenants/shop/components/files/db.age.recipients": f"{one.public} # shop/web-01\n".encode()}
    [found] = Case(files={**made.files, **beside}).findings()
    assert (found.action, found.rule) == ("warn", "manifest/secret-recipients")
    assert found.message == "web-02 can't open secret db: it is encrypted to others"
    both = {name: data + f"{other.public}\n".encode() for name, data in beside.items()}
    assert Case(files={**made.files, **both}).findings() == []
    pool = Case(files={**made.files, **both}).edit(AGENTS, "{role: job, region: eu}", "{role: web, region: eu}")
    assert ["runners can't open" in found.message for found in pool.findings()] == [True]
