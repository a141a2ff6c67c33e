"""A fix that can't wait while everything is frozen: policy denies it, two people break the glass for it, and it is on record."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from reconciler.cli import cli
from tests.e2e.enrolled import Site
from tests.e2e.installation import until
from tests.e2e.rollout_steps import FLEET, fleet_of, release, settled, strategy
from tests.signing_cases import Person, owner, with_ssh

pytestmark = [pytest.mark.needs("opa", "git", "ssh-keygen"), pytest.mark.timeout(600), pytest.mark.slow]
HOSTS = {"web-01": {"canary": "true"}, "web-02": {}}
RULE = "reliability/critical-release"
SOON = (datetime.now(UTC) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
MARKED = f"    critical: {{reason: INC-4711, until: {SOON}}}\n"


class Signed(Site):
    """A site whose repository takes signed commits alone: ana's, unless somebody else is said."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.ana, self.ben = (with_ssh(name, directory) for name in ("ana", "ben"))
        for word in self.ana.options[1::2]:
            self.git("config", *word.split("=", 1))
        self.git("config", "commit.gpgsign", "true")

    def manifests(self, files: dict[str, str]) -> dict[str, str]:
        """Return the first commit's files: with those who sign, both of whom own the policies."""
        signers = {f"signers/{one.name}.yaml": owner(one) for one in (self.ana, self.ben)}
        return files | signers | {"ordain.yaml": files["ordain.yaml"] + "  signatures: {required: true}\n"}

    def signs(self, by: Person, place: Path, message: str) -> None:
        """Have somebody commit what stands in a working tree."""
        self.git("-C", str(place), "add", "--all")
        self.git("-C", str(place), *by.options, "commit", "--quiet", "--message", message)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Signed]:
    made = Signed(tmp_path)
    yield made
    made.stop()


def on_laptop(*words: str, code: int = 0) -> str:
    """Type a command that needs a working copy and nothing else."""
    done = CliRunner().invoke(cli, [*words], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def break_the_glass(site: Signed, place: Path) -> str:
    """Write the exception, have both sign it, and push their commits together; return the file's name."""
    said = ("--reason", "checkout is down", "--owner", "ana@example.com", "--incident", "INC-4711", "--until", SOON)
    approved = ("--approved-by", "ana", "--approved-by", "ben")
    file = on_laptop("waive", RULE, "Fleet shop/web", *said, *approved, "--repo", str(place)).strip()
    site.signs(site.ana, place, "INC-4711: let the fix pass the freeze")
    (place / file).write_text((place / file).read_text() + "# Seen with ana at the incident's call.\n")
    site.signs(site.ben, place, "INC-4711: approved")
    site.git("merge", "--quiet", "--ff-only", "fix")
    return file


def test_policy_denies_a_fix_in_an_incident_and_an_exception_on_record_lets_it_through(site: Signed, tmp_path: Path) -> None:
    broken = site.commit(site.manifests(fleet_of(HOSTS)) | release("broken"))
    site.up()
    site.examined(broken)
    for host in HOSTS:
        site.join(host)
    settled(site, broken, *HOSTS)
    site.typed("freeze", "--all", "--for", "2h", "--reason", "INC-4711: nothing moves until we know why")

    marked = fleet_of(HOSTS, strategy(more=MARKED))[FLEET]
    denied = site.commit(release("fixed") | {FLEET: marked}, "Fix the checkout")
    until("it is examined", lambda: site.status()["head"] == denied, log=site.log)
    assert [one["file"] for one in site.status()["refused"]] == [FLEET]
    assert RULE in on_laptop("check", str(site.repo), code=1)
    assert {host: site.content(host, "/etc/motd") for host in HOSTS} == dict.fromkeys(HOSTS, "broken")

    place = tmp_path / "fix"
    site.git("worktree", "add", "--quiet", "-b", "fix", str(place))
    break_the_glass(site, place)
    head = site.git("rev-parse", "HEAD")
    site.examined(head)
    settled(site, head, *HOSTS)
    assert {host: site.content(host, "/etc/motd") for host in HOSTS} == dict.fromkeys(HOSTS, "fixed")
    assert [one["reason"] for one in site.operator("freeze", "list")["freezes"]] == ["INC-4711: nothing moves until we know why"]
    assert "ordain_break_glass_active 1.0" in site.metrics()
    assert "glass broken" in site.log.read_text()
    for told in (site.git("notes", "--ref", "ordain/decisions", "show", head), site.typed("audit", "show", head)):
        assert RULE in told
        assert "INC-4711" in told
    why = site.typed("why", "shop/web-01:/etc/motd", "--repo", str(site.repo))
    assert "glass broken for INC-4711: checkout is down (ana@example.com)" in why
