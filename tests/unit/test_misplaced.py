"""What looks like a manifest and is not read is said; what is no manifest is left in peace."""

import pytest

from reconciler.pipeline.manifests import Layout
from reconciler.pipeline.misplaced import misplaced
from reconciler.pipeline.tree import MemoryTree

AGENT = b"# an agent\napiVersion: ordain.dev/v1\nkind: Agent\nmetadata: {name: a, tenant: e}\nspec: {}\n"
FLOW = b'{"apiVersion": "ordain.dev/v1", "kind": "Agent"}'


def found(path: str, data: bytes, layout: Layout | None = None) -> list[tuple[str, str, str]]:
    tree = MemoryTree({path: data})
    return [(one.action, one.rule, one.place.file) for one in misplaced(tree, tree.entries, layout or Layout())]


@pytest.mark.parametrize(
    "path",
    ["tenant/x.yaml", "x.yaml", "x.yml", "agents.json", "Tenants/e/x.yaml", "tenants/e/x.YAML", "tenants/e/x.Yml", "tenants/e/x.json", "x"],
)
@pytest.mark.parametrize("data", [AGENT, FLOW])
def test_a_manifest_that_is_not_read_is_warned_of(path: str, data: bytes) -> None:
    assert found(path, data) == [("warn", "manifest/misplaced-file", path)]


@pytest.mark.parametrize("path", ["tenants/e/dashboard.json", "library/values.YML"])
def test_yaml_and_json_among_the_manifests_are_warned_of_whatever_they_hold(path: str) -> None:
    assert found(path, b"a: 1\n") == [("warn", "manifest/misplaced-file", path)]


@pytest.mark.parametrize(
    "path",
    [
        "ordain.yaml",
        "tenants/e/a.yaml",
        "library/a.yml",
        "tenants/e/files/a.yaml",
        "tenants/e/files/a.json",
        "policies/custom/x/examples/pass-a.yaml",
        ".github/x.yaml",
        ".ordain/schemas/agent.schema.json",
        "README.md",
        "tenants/e/README.md",
    ],
)
def test_manifests_sources_policies_and_texts_for_people_are_not(path: str) -> None:
    assert found(path, AGENT) == []


@pytest.mark.parametrize("data", [b"on: push\n", b"text: 'apiVersion: ordain.dev/v1'\n", b" " * 2000 + AGENT])
def test_other_yaml_elsewhere_is_not(data: bytes) -> None:
    assert found("ci/build.yaml", data) == []


def test_the_directories_are_those_that_the_repository_states() -> None:
    layout = Layout(tenants="teams")
    assert found("teams/e/a.yaml", AGENT, layout) == []
    assert found("tenants/e/a.yaml", AGENT, layout) != []
