"""`ordain init` and `ordain schema`: what a newcomer meets first."""

import json
import re
from pathlib import Path

import pygit2
import pytest
from click.testing import CliRunner, Result

from agent.protocol.errors import InputError, RetryError
from reconciler.cli import cli
from reconciler.pipeline.manifests import DirectoryTree, Layout, inspect_tree, is_manifest, parse_file
from reconciler.pipeline.validation import KINDS, validate

EDITOR_LINE = re.compile(rb"# yaml-language-server: \$schema=(\S+)\n")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    target = tmp_path / "deep" / "fleets"
    assert run("init", target).exit_code == 0
    return target


def test_a_new_repository_has_no_finding(made: Path) -> None:
    tree = DirectoryTree(made)
    assert inspect_tree(tree) == []
    parsed = [parse_file(path, tree.read(path)) for path in tree.entries if is_manifest(path)]
    assert [file.findings for file in parsed if file.findings] == []
    assert [finding for file in parsed for document in file.documents for finding in validate(document, Layout())] == []
    assert {document.kind for file in parsed for document in file.documents} == {"Repository", "Tenant", "Agent", "Component", "Fleet"}


def test_every_manifest_begins_with_the_editor_line_of_its_own_kind(made: Path) -> None:
    tree = DirectoryTree(made)
    for path in filter(is_manifest, tree.entries):
        line = EDITOR_LINE.match(tree.read(path))
        assert line is not None, path
        schema = ((made / path).parent / line[1].decode()).resolve()
        (document,) = parse_file(path, tree.read(path)).documents
        assert json.loads(schema.read_bytes())["title"] == document.kind


def test_the_schemas_of_all_kinds_come_with_it(made: Path) -> None:
    found = {path.name for path in (made / ".ordain/schemas").iterdir()}
    assert found == {f"{kind.lower()}.schema.json" for kind in KINDS}


def test_it_is_a_git_repository_with_one_commit_and_a_clean_tree(made: Path) -> None:
    repository = pygit2.Repository(str(made))
    assert repository.head.shorthand == "main"
    assert repository[repository.head.target].peel(pygit2.Commit).parents == []
    assert repository.status() == {}


def test_without_git_there_are_only_files(tmp_path: Path) -> None:
    answer = run("init", tmp_path / "fleets", "--no-git", "--format", "json")
    described = json.loads(answer.stdout)
    assert described["commit"] is None
    assert not (tmp_path / "fleets/.git").exists()
    assert all((tmp_path / "fleets" / name).is_file() for name in described["files"])


def test_an_empty_directory_is_filled_and_stays_the_same_directory(tmp_path: Path) -> None:
    before = tmp_path.stat().st_ino
    assert run("init", tmp_path).exit_code == 0
    assert tmp_path.stat().st_ino == before, "a shell that stands in it would stand in a deleted directory"
    assert {path.name for path in tmp_path.iterdir()} == {".git", ".ordain", "README.md", "library", "ordain.yaml", "policies", "tenants"}
    assert pygit2.Repository(str(tmp_path)).status() == {}


def test_a_directory_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note").touch()
    with pytest.raises(InputError, match="not empty"):
        run("init", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_a_place_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RetryError, match="choose another directory"):
        run("init", tmp_path / "file" / "fleets")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_next_steps_are_messages_and_the_files_are_data(tmp_path: Path) -> None:
    answer = run("init", tmp_path / "fleets")
    assert "ordain check" in answer.stderr
    assert all(Path(line).is_file() for line in answer.stdout.splitlines())


def test_schemas_are_listed() -> None:
    assert {"fleet", "wire/bundle"} <= {line.split()[0] for line in run("schema").stdout.splitlines()}
    assert {"fleet", "wire/bundle"} <= {entry["name"] for entry in json.loads(run("schema", "--format", "json").stdout)}


@pytest.mark.parametrize("kind", ["fleet", "Fleet", "FLEET", "fleet.schema.json"])
def test_a_schema_is_printed_however_its_kind_is_written(kind: str) -> None:
    assert json.loads(run("schema", kind).stdout)["title"] == "Fleet"


def test_an_unknown_kind_is_wrong_usage_with_a_hint() -> None:
    with pytest.raises(InputError, match="did you mean fleet") as refusal:
        run("schema", "Fleeet")
    assert refusal.value.exit_code == 2
