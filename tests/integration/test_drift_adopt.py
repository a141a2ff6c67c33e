"""A change made on a host becomes a branch of the fleet repository: comments, references and the working copy stay as they are."""

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reconciler.cli import cli
from tests.acceptance_cases import repository
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("git")
FILE = "tenants/shop/components/motd.yaml"
MANIFEST = """\
apiVersion: ordain.dev/v1
kind: Component
metadata: {name: motd, tenant: shop, labels: {owner: ops}}  # whose it is
spec:
  description: A component of the tests.
  files:
    # What people see.
    - path: /etc/motd
      content: |  # as it is
        # who
        host = ${agent.name}
        role = ${labels.role}
        limit = 10
      mode: "0644"
    - {path: /etc/one, content: "one line"}  # short
    - path: /etc/big
      source: files/big.conf
"""
ON_HOST = "# who\nhost = web-01\nrole = web\nlimit = 10\n"


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    made = WorkingCopy.make(tmp_path / "fleets")
    made.commit("begin", {**repository(), FILE: MANIFEST, "tenants/shop/components/files/big.conf": "a = 1\nb = ${agent.name}\n"})
    return made


def adopt(copy: WorkingCopy, path: str, content: str, *options: str) -> Result:
    given = copy.path.parent / "content"
    given.write_text(content)
    return CliRunner().invoke(cli, ["drift", "adopt", "shop/web-01", path, "--content", str(given), "--repo", str(copy.path), *options])


def git(copy: WorkingCopy, *words: str) -> str:
    return subprocess.run(["git", "-C", str(copy.path), *words], check=True, capture_output=True, text=True).stdout


def test_a_changed_line_is_put_into_the_manifest_and_all_else_stays(copy: WorkingCopy) -> None:
    (copy.path / FILE).write_text("somebody is at work here")
    done = adopt(
        copy, "/etc/motd", ON_HOST.replace("limit = 10", "limit = 20\n\nplain = $${agent.name} ${agent.tenant}"), "--format", "json"
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["branch"] == "drift/shop-web-01-motd"
    expected = MANIFEST.replace("limit = 10", "limit = 20\n\n        plain = $$${agent.name} $${agent.tenant}")
    assert git(copy, "show", f"drift/shop-web-01-motd:{FILE}") == expected
    assert git(copy, "diff", "--name-only", "HEAD", "drift/shop-web-01-motd").split() == [FILE]
    assert (copy.path / FILE).read_text() == "somebody is at work here"
    assert len(git(copy, "worktree", "list").splitlines()) == 1
    again = adopt(copy, "/etc/motd", ON_HOST + "more\n")
    assert isinstance(again.exception, Exception)
    assert "give another --branch" in str(again.exception)


def test_a_source_and_a_text_of_one_line_are_changed_where_they_stand(copy: WorkingCopy) -> None:
    assert adopt(copy, "/etc/big", "a = 2\nb = web-01\n").exit_code == 0
    assert git(copy, "show", "drift/shop-web-01-big:tenants/shop/components/files/big.conf") == "a = 2\nb = ${agent.name}\n"
    assert adopt(copy, "/etc/one", "two lines\n", "--branch", "ones").exit_code == 0
    assert git(copy, "show", f"ones:{FILE}") == MANIFEST.replace('"one line"', '"two lines\\n"')


@pytest.mark.parametrize(
    ("path", "content", "why"),
    [
        ("/etc/motd", ON_HOST, "there is nothing to adopt"),
        ("/etc/motd", ON_HOST.replace("web-01", "web-99"), "line 2 of its text, 'host = ${agent.name}', is filled in by ordain"),
        ("/etc/none", "x", "belongs to none of its fleets"),
    ],
)
def test_what_can_not_be_taken_over_is_refused_with_the_reason_and_leaves_no_branch(
    copy: WorkingCopy, path: str, content: str, why: str
) -> None:
    refused = adopt(copy, path, content)
    assert refused.exit_code != 0
    assert why in str(refused.exception)
    assert "drift/" not in git(copy, "branch", "--list")
