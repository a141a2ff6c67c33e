"""What a manifest gets wrong about processes, services, packages and users that a schema can't say."""

import pytest

from reconciler.pipeline.finding import Verdict
from reconciler.pipeline.manifests import Layout, parse_file, verdict
from reconciler.pipeline.validation import validate

HEAD = "apiVersion: ordain.dev/v1\nkind: Component\nmetadata: {name: a, tenant: shop}\nspec:\n  "
DIGEST = "ab" * 32


def of(spec: str) -> list[Verdict]:
    text = HEAD + spec.strip().replace("\n", "\n  ") + "\n"
    parsed = parse_file("tenants/shop/a.yaml", text.encode())
    assert parsed.findings == ()
    return [verdict(finding, lambda _: text.encode()) for document in parsed.documents for finding in validate(document, Layout())]


@pytest.mark.parametrize(
    ("spec", "code", "pointer"),
    [
        ("processes: [{name: a, command: [sleep, '1']}]", "manifest/command", "/spec/processes/0/command/0"),
        ("actions: [{name: a, on: [/a], run: [reload]}]", "manifest/command", "/spec/actions/0/run/0"),
        ("processes: [{name: a, command: [/a], limits: {memory: '256'}}]", "schema/limit", "/spec/processes/0/limits/memory"),
        ("processes: [{name: a, command: [/a], limits: {memory: 100000Ti}}]", "schema/limit", "/spec/processes/0/limits/memory"),
        ("processes: [{name: a, command: [/a], restart: never, backOff: 5s}]", "schema/alternatives", "/spec/processes/0/backOff"),
        ("processes: [{name: a, command: [/a], user: '00'}]", "schema/pattern", "/spec/processes/0/user"),
        ('processes: [{name: a, command: [/a, "b\\0"]}]', "schema/pattern", "/spec/processes/0/command/1"),
        ('processes: [{name: a, command: [/a], environment: {A: "b\\0"}}]', "schema/pattern", "/spec/processes/0/environment/A"),
        ("processes: [{name: a, command: [/a], privatePaths: [/]}]", "schema/pattern", "/spec/processes/0/privatePaths/0"),
        ("processes: [{name: a, command: [/a]}, {name: a, command: [/b]}]", "manifest/duplicate", "/spec/processes/1/name"),
        ("services: [{name: a.service, unit: x, source: files/a}]", "schema/alternatives", "/spec/services/0/source"),
        ("services: [{name: ordain-agent.service, state: stopped}]", "schema/pattern", "/spec/services/0/name"),
        (f"containers: [{{name: ordain-agent, image: 'e@sha256:{DIGEST}'}}]", "schema/pattern", "/spec/containers/0/name"),
        ("services: [{name: a.socket, timer: x}]", "schema/alternatives", "/spec/services/0/timer"),
        ("services: [{name: a.timer, unit: '[Timer]'}]", "schema/alternatives", "/spec/services/0/name"),
        ("services: [{name: a.service, timer: x}, {name: a.timer}]", "manifest/duplicate", "/spec/services/0/timer"),
        ("services: [{name: a.service, masked: true, unit: x}]", "schema/alternatives", "/spec/services/0/unit"),
        ("services: [{name: a.service, masked: true, state: running}]", "schema/alternatives", "/spec/services/0/state"),
        (
            "services: [{name: a.service, dropIns: [{name: a.conf, content: x}, {name: a.conf, content: y}]}]",
            "manifest/duplicate",
            "/spec/services/0/dropIns/1/name",
        ),
        ("containers: [{name: a, image: 'nginx:1.27'}]", "schema/pattern", "/spec/containers/0/image"),
        ("containers: [{name: a, image: 'nginx@sha256:" + "ab" * 31 + "'}]", "schema/pattern", "/spec/containers/0/image"),
        ("packageRepositories: [{name: a, manager: dnf, url: 'https://a.example'}]", "schema/alternatives", "/spec/packageRepositories/0"),
        ("packages: [{name: a, absent: true, version: '1'}]", "schema/alternatives", "/spec/packages/0/version"),
        ("packages: [{name: a}, {name: a}]", "manifest/duplicate", "/spec/packages/1/name"),
        ("users: [{name: root, shell: /bin/sh}]", "schema/pattern", "/spec/users/0/name"),
        ("groups: [{name: root, absent: true}]", "schema/pattern", "/spec/groups/0/name"),
        ("users: [{name: a, absent: true, home: /a}]", "schema/alternatives", "/spec/users/0/home"),
        ("hostFiles: [{name: a, path: /etc/hosts}]", "schema/alternatives", "/spec/hostFiles/0"),
        (
            "hostFiles: [{name: a, path: /etc/hosts, content: x}, {name: a, path: /etc/hosts, content: y}]",
            "manifest/duplicate",
            "/spec/hostFiles/1/name",
        ),
        ("reboot: {when: always, within: {cron: '0 0 31 2 *', duration: 1h}}", "schema/cron", "/spec/reboot/within/cron"),
        (
            "reboot: {when: always, within: {cron: '0 3 * * *', duration: 1h, timeZone: Mars/Olympus}}",
            "schema/time-zone",
            "/spec/reboot/within/timeZone",
        ),
    ],
)
def test_what_no_host_could_be_held_to_is_refused_at_its_place(spec: str, code: str, pointer: str) -> None:
    [found] = [one for one in of(spec) if one.action == "deny"]
    assert (found.code, found.pointer) == (code, pointer)
    assert found.remedy


@pytest.mark.parametrize(
    "spec",
    [
        "processes: []\nservices: []\nkernelSettings: {}",
        "users: [{name: rooted, group: root}]",
        "processes: [{name: a, command: [/a], user: '0', readOnlyPaths: [/], privatePaths: [/tmp]}]",
        "services: [{name: a.timer, unit: '[Timer]'}, {name: a.service, unit: x}]",
        'services: [{name: a.timer, unit: "[Timer]\\nUnit=b.service"}]',
        "services: [{name: a.timer, state: running}, {name: b.service, masked: true, state: stopped}]",
        "hostFiles: [{name: a, path: /etc/hosts, absent: true}, {name: a, path: /etc/services, content: x}]",
        f"containers: [{{name: a, image: 'registry.example.com:5000/a/b@sha256:{DIGEST}'}}]",
        "reboot: {when: required, within: {cron: '0 3 * * 0', duration: 2h, timeZone: Europe/Berlin}}",
        "packages: [{name: 'libstdc++6:amd64', version: '1:2.3~rc1-4+deb12u1', hold: true}]",
    ],
)
def test_what_hosts_are_held_to_every_day_passes(spec: str) -> None:
    assert of(spec) == []


def test_a_message_names_its_place_once() -> None:
    for spec in ("services: [{name: a.socket, timer: x}]", "services: [{name: a.timer, unit: '[Timer]'}]"):
        [found] = of(spec)
        assert found.message.count("spec.services[0]") == 1
