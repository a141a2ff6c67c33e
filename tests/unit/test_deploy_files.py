"""What deploy/ brings for the control plane: settings that load, commands that exist, pods and units that may do little."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from agent.cli import cli as agent_cli
from reconciler import settings
from reconciler.cli import cli

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
TIMERS = sorted((DEPLOY / "systemd").glob("*.timer"))
EXPOSURE = 2.0
"""Of 10, as systemd-analyze counts: below it a unit is called OK."""


def documents() -> list[dict[str, Any]]:
    found = []
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        found += [one for one in YAML(typ="safe").load_all(path) if one["kind"] != "Kustomization"]
    return found


def of_kind(*kinds: str) -> list[Any]:
    found = [pytest.param(one, id=f"{one['kind']}-{one['metadata']['name']}") for one in documents() if one["kind"] in kinds]
    assert found
    return found


CONTROL_PLANE = of_kind("Deployment", "StatefulSet")
JOBS = of_kind("CronJob")
WORKLOADS = [*CONTROL_PLANE, *of_kind("DaemonSet"), *JOBS]


def template_of(workload: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = workload["spec"].get("jobTemplate", workload)["spec"]["template"]
    return found


def containers(workload: dict[str, Any]) -> Iterator[dict[str, Any]]:
    spec = template_of(workload)["spec"]
    yield from (*spec.get("initContainers", ()), *spec["containers"])


def understood(command: Any, arguments: list[str]) -> None:
    """See that a command line is one that click takes."""
    name, *rest = arguments
    found = command.get_command(None, name)
    assert found is not None
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize("workload", WORKLOADS)
def test_pods_run_confined_and_speak_to_no_cluster(workload: dict[str, Any]) -> None:
    spec = template_of(workload)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for one in containers(workload):
        context = one["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"]["drop"] == ["ALL"]
        assert "memory" in one["resources"]["limits"]
        assert ":latest" not in one["image"]


@pytest.mark.parametrize("workload", CONTROL_PLANE)
def test_the_control_plane_is_nobody_is_probed_and_keeps_to_its_grace(workload: dict[str, Any]) -> None:
    spec = workload["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["terminationGracePeriodSeconds"] >= 45
    assert workload["spec"]["replicas"] > 1
    (one,) = spec["containers"]
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= one.keys()
    assert "add" not in one["securityContext"]["capabilities"]
    understood(cli, one["args"])


@pytest.mark.parametrize("workload", WORKLOADS)
def test_labels_volumes_and_references_fit(workload: dict[str, Any]) -> None:
    template = template_of(workload)
    if "selector" in workload["spec"]:
        assert workload["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    volumes = {one["name"] for one in template["spec"]["volumes"]}
    volumes |= {one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", ())}
    named = {(one["kind"], one["metadata"]["name"]) for one in documents()}
    assert ("ServiceAccount", template["spec"]["serviceAccountName"]) in named
    for one in containers(workload):
        assert {mount["name"] for mount in one["volumeMounts"]} <= volumes
    for one in template["spec"]["volumes"]:
        if "configMap" in one:
            assert ("ConfigMap", one["configMap"]["name"]) in named


@pytest.mark.parametrize("job", JOBS)
def test_what_prunes_the_store_has_no_key_and_is_taken_for_no_zone(job: dict[str, Any]) -> None:
    template = template_of(job)
    (one,) = containers(job)
    understood(cli, one["args"])
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    secrets = [volume["secret"] for volume in template["spec"]["volumes"] if "secret" in volume]
    assert [item["key"] for secret in secrets for item in secret["items"]] == ["bucket"]
    selectors = [one["spec"].get("selector") for one in documents() if one["kind"] == "Service"]
    assert template["metadata"]["labels"] not in selectors
    allowed = {one["metadata"]["name"]: one["spec"]["podSelector"] for one in documents() if one["kind"] == "NetworkPolicy"}
    assert allowed["ordain-gc"] == {"matchLabels": template["metadata"]["labels"]}


@pytest.mark.parametrize("budget", of_kind("PodDisruptionBudget"))
def test_a_budget_is_of_a_workload_and_lets_nodes_be_emptied(budget: dict[str, Any]) -> None:
    (of,) = [one for one in documents() if one.get("spec", {}).get("selector") == budget["spec"]["selector"] and "template" in one["spec"]]
    assert budget["spec"].get("minAvailable", 0) < of["spec"]["replicas"]


def test_nobody_reaches_the_zone_with_the_releases_keys_nor_an_agent() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in documents() if one["kind"] == "NetworkPolicy"}
    for name in ("ordain-nothing", "ordain-reconcile", "ordain-agent"):
        assert "Ingress" in policies[name]["policyTypes"]
        assert "ingress" not in policies[name]
    assert "egress" not in policies["ordain-nothing"]
    assert [port["port"] for rule in policies["ordain-serve"]["ingress"] for port in rule["ports"]] == [8420]


@pytest.mark.parametrize("text", [*(one for one in documents() if one["kind"] == "ConfigMap")], ids=lambda one: one["metadata"]["name"])
def test_settings_in_the_cluster_load_and_hold_no_secret(text: dict[str, Any], tmp_path: Path) -> None:
    for name, content in text["data"].items():
        if name.endswith(".toml") and name != "agent.toml":
            (tmp_path / name).write_text(content)
            loaded = settings.load(tmp_path / name, state=tmp_path)
            assert loaded.store_url.startswith("s3://")
            assert loaded.store.credentials.startswith("/etc/ordain/secrets/")


@pytest.mark.parametrize("name", ["reconcile", "serve"])
def test_settings_of_the_compose_file_load(name: str, tmp_path: Path) -> None:
    loaded = settings.load(DEPLOY / "compose" / f"{name}.toml", state=tmp_path)
    assert loaded.store.endpoint == "http://store:7070"
    file = YAML(typ="safe").load(DEPLOY / "compose" / "compose.yaml")
    service = file["services"][name]
    understood(cli, service["command"])
    assert service["read_only"] is True
    assert f"./keys/{'pipeline' if name == 'reconcile' else 'control'}:/etc/ordain/keys" in str(service["volumes"])


def test_the_zones_of_the_compose_file_share_nothing_but_the_store() -> None:
    services = YAML(typ="safe").load(DEPLOY / "compose" / "compose.yaml")["services"]
    sources = {name: {volume.partition(":")[0] for volume in services[name]["volumes"]} for name in ("reconcile", "serve")}
    assert not sources["reconcile"] & sources["serve"]
    assert "registry" not in services["reconcile"]["networks"]


def test_agents_enrol_by_a_command_that_exists_with_the_token_that_is_mounted() -> None:
    (daemons,) = [one for one in documents() if one["kind"] == "DaemonSet"]
    enroll, run = containers(daemons)
    words = enroll["args"][0].split(" || exec python -P -m agent ")[1].split()
    understood(agent_cli, words)
    understood(agent_cli, run["args"])
    (token,) = [one for one in daemons["spec"]["template"]["spec"]["volumes"] if "projected" in one]
    (mount,) = [one for one in enroll["volumeMounts"] if one["name"] == token["name"]]
    path = token["projected"]["sources"][0]["serviceAccountToken"]["path"]
    assert f"{mount['mountPath']}/{path}" in words


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_units_are_shut_off_from_what_they_do_not_need(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={int(EXPOSURE * 10)}", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:]


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", [*UNITS, *TIMERS], ids=lambda path: path.name)
def test_units_are_understood_by_systemd(unit: Path, tmp_path: Path) -> None:
    for one in UNITS:
        (tmp_path / one.name).write_text(one.read_text().replace("/opt/ordain-control/bin/ordain", shutil.which("true") or "/bin/true"))
    place = tmp_path / unit.name
    if unit in TIMERS:
        place.write_text(unit.read_text())
    done = subprocess.run(["systemd-analyze", "verify", str(place)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_units_start_a_command_that_exists(unit: Path) -> None:
    (line,) = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    understood(cli, line.split()[1:])
