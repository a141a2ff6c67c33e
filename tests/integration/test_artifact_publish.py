"""`ordain artifact publish`: a build lands in the store, its digest in the manifest, and nothing else changes."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reconciler.cli import cli, main

CONTENT = hashlib.shake_256(b"a build").digest(2_500_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OLD = "0" * 64
MANIFEST = f"""\
apiVersion: ordain.dev/v1
kind: Component
metadata: {{name: tool, tenant: shop}}
spec:
  artifacts:
    - name: tool   # shipped by CI
      path: /opt/tool
      url: "https://example.com/tool"
      sha256: "{OLD}"
    - name: agents
      path: /opt/agents
      platforms:
        linux/amd64: {{url: "https://example.com/a", sha256: "{OLD}"}}  # the usual one
"""
SHARED = f"""\
apiVersion: ordain.dev/v1
kind: Component
metadata: {{name: shared}}
spec:
  artifacts: [{{name: only, path: /opt/only, url: "https://example.com/o", sha256: "{OLD}"}}]
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    made = tmp_path / "fleets"
    for path, text in {"tenants/shop/components/tool.yaml": MANIFEST, "library/shared.yaml": SHARED}.items():
        (made / path).parent.mkdir(parents=True)
        (made / path).write_text(text)
    (tmp_path / "tool.tar.gz").write_bytes(CONTENT)
    return made


def publish(repo: Path, *arguments: str) -> Result:
    store = ["--store", str(repo.parent / "store"), "--repo", str(repo)]
    return CliRunner().invoke(cli, ["artifact", "publish", *arguments, *store])


def stored(repo: Path) -> dict[str, bytes]:
    top = repo.parent / "store"
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_a_build_lands_under_its_digest_and_its_manifest_says_so(repo: Path) -> None:
    answer = publish(repo, str(repo.parent / "tool.tar.gz"), "--component", "tool", "--tenant", "shop")
    assert answer.exit_code == 0, answer.output
    assert stored(repo) == {f"approved/shop/_artifacts/{SHA256}": CONTENT}
    expected = MANIFEST.replace('"https://example.com/tool"', '"store:tool"').replace(OLD, SHA256, 1)
    expected = expected.replace(f'sha256: "{SHA256}"\n', f'sha256: "{SHA256}"\n      size: {len(CONTENT)}\n')
    assert (repo / "tenants/shop/components/tool.yaml").read_text() == expected
    assert f'+      sha256: "{SHA256}"' in answer.stdout
    assert "shipped by CI" not in [line for line in answer.stdout.splitlines() if line[:1] in "+-"]


def test_publishing_again_changes_nothing(repo: Path) -> None:
    arguments = (str(repo.parent / "tool.tar.gz"), "--component", "tenants/shop/components/tool.yaml", "--format", "json")
    first, second = (json.loads(publish(repo, *arguments).stdout) for _ in range(2))
    assert [one["stored"] for one in (*first["artifacts"], *second["artifacts"])] == [True, False]
    assert (first["changed"], second["changed"], second["diff"]) == (["tenants/shop/components/tool.yaml"], [], "")
    assert first["artifacts"][0]["sha256"] == SHA256


def test_each_platform_has_a_build_of_its_own(repo: Path) -> None:
    for platform in ("linux/amd64", "linux/arm64"):
        answer = publish(repo, f"agents={repo.parent}/tool.tar.gz", "--component", "tool", "--tenant", "shop", "--platform", platform)
        assert answer.exit_code == 0, answer.output
    source = f'{{url: "store:agents", sha256: "{SHA256}", size: {len(CONTENT)}}}'
    assert (repo / "tenants/shop/components/tool.yaml").read_text().splitlines()[-2:] == [
        f"        linux/amd64: {source}  # the usual one",
        f"        linux/arm64: {source}",
    ]


def test_the_librarys_builds_lie_where_every_tenant_may_fetch_them(repo: Path) -> None:
    answer = publish(repo, str(repo.parent / "tool.tar.gz"), "--component", "library/shared")
    assert answer.exit_code == 0, answer.output
    assert list(stored(repo)) == [f"approved/_artifacts/{SHA256}"]
    assert f'url: "store:only", sha256: "{SHA256}", size: {len(CONTENT)}' in (repo / "library/shared.yaml").read_text()


def test_without_a_component_the_digest_is_said(repo: Path) -> None:
    answer = publish(repo, str(repo.parent / "tool.tar.gz"), "--tenant", "edge")
    assert answer.stdout == f"sha256: {SHA256}\nsize: {len(CONTENT)}\n"
    assert list(stored(repo)) == [f"approved/edge/_artifacts/{SHA256}"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("{build}",), "say whose it is"),
        (("{build}", "--component", "tool"), "a name needs --tenant"),
        (("{build}", "--component", "none", "--tenant", "shop"), "there is none"),
        (("{build}", "--component", "tool", "--tenant", "edge"), "there is none"),
        (("agents={build}", "--component", "tool", "--tenant", "shop"), "say --platform (linux/amd64)"),
        (("tool={build}", "--component", "tool", "--tenant", "shop", "--platform", "linux/amd64"), "leave --platform out"),
        (("other={build}", "--component", "tool", "--tenant", "shop"), "its artifacts: tool, agents"),
        (("tool=/dev/zero", "--component", "tool", "--tenant", "shop"), "/dev/zero: not a regular file"),
        (("tool={empty}", "--component", "tool", "--tenant", "shop"), "empty: empty; name the file"),
        (("{build}.gone", "--component", "tool", "--tenant", "shop"), "No such file"),
    ],
)
def test_what_is_not_clear_is_asked_and_nothing_is_stored(repo: Path, arguments: tuple[str, ...], why: str) -> None:
    build, empty = str(repo.parent / "tool.tar.gz"), repo.parent / "empty"
    empty.touch()
    answer = publish(repo, *(one.format(build=build, empty=empty) for one in arguments))
    assert answer.exit_code != 0
    assert why in str(answer.exception), answer.output
    assert stored(repo) == {}
    assert (repo / "tenants/shop/components/tool.yaml").read_text() == MANIFEST


def test_a_manifest_that_can_not_be_edited_safely_is_left_to_a_person_before_anything_is_stored(repo: Path) -> None:
    text = SHARED.replace(f'sha256: "{OLD}"', f'sha256: &old "{OLD}"')
    (repo / "library/shared.yaml").write_text(text)
    answer = publish(repo, str(repo.parent / "tool.tar.gz"), "--component", "library/shared")
    assert "edit it by hand" in str(answer.exception)
    assert stored(repo) == {}


@pytest.mark.needs("git", "opa")
def test_what_is_published_passes_as_a_change_of_the_example(tmp_path: Path) -> None:
    """The way of a build from CI to a pull request, on a copy of the example fleet repository."""
    example = Path(__file__).resolve().parents[2] / "examples/fleet-repo"
    repo = tmp_path / "fleets"
    shutil.copytree(example, repo)
    (tmp_path / "build.tar.gz").write_bytes(CONTENT)
    answer = publish(repo, f"node-exporter={tmp_path}/build.tar.gz", "--component", "library/node-exporter", "--platform", "linux/amd64")
    assert answer.exit_code == 0, answer.exception
    checked = subprocess.run(
        ["git", "diff", "--no-index", "--numstat", str(example), str(repo)], capture_output=True, text=True, check=False
    )
    assert len(checked.stdout.splitlines()) == 1
    assert CliRunner().invoke(cli, ["check", str(repo)]).exit_code == 0


def test_the_command_line_knows_it() -> None:
    assert callable(main)
    assert "publish" in CliRunner().invoke(cli, ["artifact", "--help"]).output
