"""What a host is held to beyond files: how a component's processes, services, containers and the rest land in a state."""

import json
from textwrap import dedent, indent
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import rendering
from agent.protocol.state import File, Process, Reboot, Repository, Service, State, Sysctl, Window
from reconciler.pipeline.compile.order import cycle
from reconciler.pipeline.compile.texts import check_texts, texts_of
from reconciler.pipeline.finding import Finding, Pointer
from reconciler.pipeline.manifests import Layout, parse_file
from reconciler.pipeline.tree import MemoryTree
from reconciler.pipeline.validation import validate
from tests.compile_cases import WEB, Case, component, fleet, shop

OTHER, SECOND, THIRD = (f"tenants/shop/components/{name}.yaml" for name in ("other", "second", "third"))
DIGEST = "ab" * 32
BASE = fleet("base", "{selector: {matchLabels: {}}, components: [{name: second}]}")
KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n-----END PGP PUBLIC KEY BLOCK-----\n"
USES = "{name: collector, parameters: {sampling: 0.1}}"


def with_other(spec: str, *, given: str = "{}") -> Case:
    """Return the case with a component `other` beside the collector; its spec is in flow style, or lines of a block."""
    text = component("other", spec)
    if spec.startswith("\n"):
        text = component("other", "{}").replace("spec: {}}", "spec:}")[1:-1].replace(", ", "\n", 1).replace(", metadata", "\nmetadata")
        text = text.replace(", spec:", "\nspec:") + indent(dedent(spec), "  ")
    return shop().write(OTHER, text).edit(WEB, f"- {USES}", f"- {USES}\n    - {{name: other, parameters: {given}}}")


def using(case: Case, *names: str) -> Case:
    """Return the case whose fleet uses more components."""
    return case.edit(WEB, "- {name: other, parameters: {}}", "\n    ".join(f"- {{name: {name}}}" for name in ("other", *names)))


def state_of(case: Case) -> State:
    """Return what the group of web-01 holds."""
    compiled = case.compile()
    return compiled.bundle.groups[compiled.agents["web-01"].group].base


def files(state: State) -> dict[str, File]:
    return {file.path: file for file in state.files}


def denied(case: Case) -> list[Finding]:
    return [finding for finding in case.findings() if finding.action == "deny"]


def test_a_process_lands_as_it_is_written_with_its_texts_filled_in_and_defaults_left_out() -> None:
    state = state_of(
        with_other("""{processes: [{
          name: proxy, command: [/usr/bin/proxy, --region, "${labels.region}", "${agent.name}"], environment: {REGION: "${labels.region}"},
          user: proxy, restart: always, backOff: 2s, crashLoop: {starts: 3}, stopSignal: SIGINT, limits: {memory: 64Mi, openFiles: 1024},
          noNewPrivileges: true, readOnlyPaths: [/etc], restartOn: [/etc/otelcol/config.yaml]}]}""")
    )
    [proxy] = state.processes
    assert proxy.command == ["/usr/bin/proxy", "--region", "eu", "${agent.name}"]
    assert msgspec.to_builtins(proxy) == {
        "name": "proxy",
        "command": ["/usr/bin/proxy", "--region", "eu", "${agent.name}"],
        "environment": {"REGION": "eu"},
        "user": "proxy",
        "restartOn": ["/etc/otelcol/config.yaml"],
        "backOff": "2s",
        "crashLoop": {"starts": 3},
        "stopSignal": "SIGINT",
        "limits": {"memory": "64Mi", "openFiles": 1024},
        "noNewPrivileges": True,
        "readOnlyPaths": ["/etc"],
    }


def test_a_service_brings_its_unit_drop_ins_and_timer_as_files_and_is_restarted_when_its_own_change() -> None:
    case = with_other("""
      services:
        - name: backup.service
          source: files/backup.service
          dropIns: [{name: 10-region.conf, content: "[Service]\\nEnvironment=REGION=${labels.region}\\n"}]
          timer: "[Timer]\\nOnCalendar=daily\\n"
          state: running
          enabled: true
          restartOn: [/etc/otelcol/config.yaml]
    """).write("tenants/shop/components/files/backup.service", b"[Service]\nExecStart=/usr/bin/backup ${agent.name}\n")
    state = state_of(case)
    unit, drop_in = "/etc/systemd/system/backup.service", "/etc/systemd/system/backup.service.d/10-region.conf"
    timer = "/etc/systemd/system/backup.timer"
    assert files(state)[unit].content == "[Service]\nExecStart=/usr/bin/backup ${agent.name}\n"
    assert files(state)[drop_in].content == "[Service]\nEnvironment=REGION=eu\n"
    assert files(state)[timer].content == "[Timer]\nOnCalendar=daily\n"
    assert state.services == [
        Service(name="backup.service", restart_on=["/etc/otelcol/config.yaml", unit, drop_in], unit_files=[unit, drop_in]),
        Service(name="backup.timer", state="running", enabled=True, restart_on=[timer], unit_files=[timer]),
    ]


def test_a_service_that_the_host_has_already_brings_no_files() -> None:
    state = state_of(with_other("{services: [{name: ssh.service, state: running, reloadOn: [/etc/otelcol/config.yaml]}]}"))
    assert state.services == [Service(name="ssh.service", state="running", reload_on=["/etc/otelcol/config.yaml"])]
    assert not any(path.startswith("/etc/systemd") for path in files(state))


CONTAINER = f"""
      containers:
        - name: edge
          image: registry.example.com/edge@sha256:{DIGEST}
          command: [/edge, --listen, ":8080", "50% of $HOME"]
          environment: {{REGION: "${{labels.region}}", HOST: "${{agent.name}}", ODD: 'say "hi"\\'}}
          ports: [{{host: 8080, container: 80}}, {{host: 53, container: 53, protocol: udp, address: "::1"}}]
          volumes: [{{source: /srv/edge, path: /data, readOnly: true}}, {{source: cache, path: /cache}}]
          user: "10001:10001"
          limits: {{memory: 1Ti, cpu: 5%, processes: 100, openFiles: 1024}}
          readOnly: true
          restart: on-failure
"""


def test_a_container_is_a_quadlet_file_and_the_unit_that_is_made_of_it() -> None:
    state = state_of(with_other(CONTAINER))
    path = "/etc/containers/systemd/edge.container"
    assert state.services == [Service(name="edge.service", state="running", restart_on=[path], unit_files=[path])]
    assert files(state)[path].content == (
        "[Unit]\nDescription=Container edge, held by ordain\n\n"
        "[Container]\nContainerName=edge\n"
        f"Image=registry.example.com/edge@sha256:{DIGEST}\nPull=missing\n"
        'Environment="HOST=${agent.name}"\nEnvironment="ODD=say \\"hi\\"\\\\"\nEnvironment="REGION=eu"\n'
        "PublishPort=8080:80\nPublishPort=[::1]:53:53/udp\nVolume=/srv/edge:/data:ro\nVolume=cache:/cache\n"
        "User=10001\nGroup=10001\nReadOnly=true\nPidsLimit=100\nUlimit=nofile=1024:1024\n"
        "PodmanArgs=--memory=1024g\nPodmanArgs=--cpus=0.05\n"
        'Exec="/edge" "--listen" ":8080" "50%% of $$HOME"\n\n'
        "[Service]\nRestart=on-failure\nTimeoutStartSec=900\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a\nUser=root", '"X=a\\nUser=root"'),
        ('" --privileged "', '"X=\\" --privileged \\""'),
        ("100% $HOME", '"X=100%% $$HOME"'),
        ("${agent.name}", '"X=$$${agent.name}"'),
        ("\x85\u2028", '"X=\\302\\205\\342\\200\\250"'),
    ],
)
def test_a_value_that_is_filled_into_a_container_is_one_word_of_it_and_means_nothing_else(value: str, line: str) -> None:
    spec = f"""{{parameters: {{x: {{type: string}}}}, containers: [
        {{name: edge, image: "r.example.com/e@sha256:{DIGEST}", environment: {{X: "${{parameters.x}}"}}}}]}}"""
    given = json.dumps(value)
    content = files(state_of(with_other(spec, given=f"{{x: {given}}}")))["/etc/containers/systemd/edge.container"].content or ""
    [found] = [one for one in content.split("\n") if one.startswith("Environment=")]
    assert found == f"Environment={line}"
    if value == "${agent.name}":  # systemd makes one $ of two
        assert rendering.finish(found, tenant="shop", agent="web-01") == 'Environment="X=$${agent.name}"'


def test_packages_users_settings_and_the_rest_land_in_their_lists() -> None:
    state = state_of(
        with_other("""
      packageRepositories: [{name: vendor, manager: apt, url: "https://deb.example.com", source: files/vendor.asc, suites: [stable]}]
      packages: [{name: nginx, version: "1.22.1-9", hold: true}]
      groups: [{name: app, gid: 900}]
      users: [{name: app, uid: 900, group: app, home: /srv/app, system: true}]
      kernelSettings: {sysctl: {net.core.somaxconn: 4096, kernel.panic: "10"}, modules: [br_netfilter]}
      hostFiles: [{name: region, path: /etc/hosts, content: "10.0.0.1 db.${labels.region}\\n"}]
      actions: [{name: certs, on: [/etc/otelcol/config.yaml], run: [/usr/sbin/update-ca-certificates]}]
      reboot: {when: required, within: {cron: "0 3 * * *", duration: 1h}}
    """).write("tenants/shop/components/files/vendor.asc", KEY.encode())
    )
    assert state.repositories == [Repository(name="vendor", manager="apt", url="https://deb.example.com", key=KEY, suites=["stable"])]
    assert [(one.name, one.version, one.hold) for one in state.packages] == [("nginx", "1.22.1-9", True)]
    assert [(one.name, one.gid) for one in state.groups] == [("app", 900)]
    assert [(one.name, one.home, one.system) for one in state.users] == [("app", "/srv/app", True)]
    assert state.sysctls == [Sysctl(name="kernel.panic", value="10"), Sysctl(name="net.core.somaxconn", value="4096")]
    assert [one.name for one in state.modules] == ["br_netfilter"]
    assert [(one.path, one.content) for one in state.host_files] == [("/etc/hosts", "10.0.0.1 db.eu\n")]
    assert [(one.name, one.run) for one in state.actions] == [("certs", ["/usr/sbin/update-ca-certificates"])]
    assert state.reboot == Reboot(when="required", within=Window(cron="0 3 * * *", duration="1h"))


def test_an_order_of_components_is_one_of_their_processes_and_services_past_those_that_run_nothing() -> None:
    case = using(
        with_other("{after: [middle], processes: [{name: app, command: [/a], after: [container/edge]}]}")
        .write("tenants/shop/components/middle.yaml", component("middle", "{after: [library/base], files: []}"))
        .write(
            "library/base.yaml",
            component("base", "{processes: [{name: db, command: [/d]}], services: [{name: nginx.service, state: running}]}", tenant=""),
        )
        .write("tenants/shop/components/edge.yaml", component("edge", f'{{containers: [{{name: edge, image: "e@sha256:{DIGEST}"}}]}}')),
        "middle",
        "library/base",
        "edge",
    )
    [app, db] = state_of(case).processes
    assert isinstance(app, Process)
    assert app.after == ["process/db", "service/edge.service", "service/nginx.service"]
    assert db.after == []


def only(case: Case) -> tuple[str, str, str]:
    """Return (rule, message, what is written at the place) of the one thing that is wrong."""
    [finding] = denied(case)
    assert finding.remedy
    return finding.rule, finding.message, case.shown(finding.place)


@pytest.mark.parametrize(
    ("spec", "rule", "said"),
    [
        (
            "{processes: [{name: a, command: [/a], restartOn: [/etc/otelcol/config.yml]}]}",
            "unknown-path",
            "did you mean /etc/otelcol/config.yaml?",
        ),
        ("{services: [{name: a.service, reloadOn: [/etc/a]}]}", "unknown-path", "reloadOn has /etc/a, which Fleet shop/web does not bring"),
        ("{actions: [{name: a, on: [/etc/a], run: [/a]}]}", "unknown-path", "action a: on has /etc/a"),
        ("{processes: [{name: a, command: [/a], after: [process/b]}]}", "after", "process/a comes after process/b, which is nothing"),
        ("{processes: [{name: a, command: [/a], after: [process/b]}]}", "after", "there are none"),
        ("{after: [colector], files: []}", "after", "did you mean collector?"),
        ("{hostFiles: [{name: a, path: /etc/otelcol/config.yaml, content: x}]}", "path-conflict", "owns all of that file"),
        ("{files: [{path: /etc/systemd/system/a.service, content: x}], services: [{name: a.service, unit: x}]}", "path-conflict", "twice"),
        (
            f'{{services: [{{name: a.service}}], containers: [{{name: a, image: "e@sha256:{DIGEST}"}}]}}',
            "name-conflict",
            "a service of component other and a container of component other are both service a.service",
        ),
    ],
)
def test_what_can_not_be_is_one_error_with_its_place(spec: str, rule: str, said: str) -> None:
    found, message, shown = only(with_other(spec))
    assert found == f"manifest/{rule}"
    assert said in message
    assert shown


@pytest.mark.parametrize(
    ("spec", "circle"),
    [
        (
            "{processes: [{name: a, command: [/a], after: [process/b]}, {name: b, command: [/b], after: [process/c]}]}",
            "process/a → process/b → process/c → process/a",
        ),
        ("{after: [third], processes: [{name: a, command: [/a]}]}", "process/a → process/c → process/a"),
    ],
)
def test_a_circle_in_the_order_is_named_whole_with_every_place(spec: str, circle: str) -> None:
    case = with_other(spec).write(THIRD, component("third", "{processes: [{name: c, command: [/c], after: [process/a]}]}"))
    [found] = denied(using(case, "third"))
    assert found.rule == "manifest/after"
    assert circle in found.message
    assert {place.file for place in (found.place, *found.also)} >= {OTHER, THIRD, WEB}


def test_what_the_library_has_comes_after_nothing_of_a_tenants() -> None:
    case = with_other("{files: []}").write("library/tool.yaml", component("tool", "{after: [other]}", tenant=""))
    [found] = denied(using(case, "library/tool"))
    assert found.message.startswith("component library/tool comes after other, which is no component of the library here; ")


def test_an_order_without_a_circle_has_none_and_the_least_name_of_one_comes_first() -> None:
    assert cycle({"a": ["b", "c"], "b": ["c"], "c": []}) == []
    assert cycle({"z": ["y"], "y": ["x"], "x": ["y"]}) == ["x", "y"]
    assert cycle({"a": ["a"]}) == ["a"]


@given(st.dictionaries(st.sampled_from("abcde"), st.lists(st.sampled_from("abcde"), max_size=3), max_size=5))
def test_every_step_of_a_circle_is_one_that_was_said(after: dict[str, list[str]]) -> None:
    ring = cycle({name: [other for other in others if other in after] for name, others in after.items()})
    assert all(other in after[name] for name, other in zip(ring, [*ring[1:], *ring[:1]], strict=True))
    assert len(set(ring)) == len(ring)


@pytest.mark.parametrize(
    ("spec", "claim"),
    [
        ("{processes: [{name: a, command: [/a]}]}", "process a"),
        ("{services: [{name: a.service}]}", "service a.service"),
        ("{packages: [{name: curl}]}", "package curl"),
        ("{users: [{name: app}]}", "user app"),
        ("{groups: [{name: app}]}", "group app"),
        ("{kernelSettings: {sysctl: {vm.swappiness: 1}}}", "kernel setting vm.swappiness"),
        ("{hostFiles: [{name: a, path: /etc/hosts, content: x}]}", "block /etc/hosts [a]"),
        (
            '{packageRepositories: [{name: v, manager: dnf, url: "https://e.example", key: "-----BEGIN PGP PUBLIC KEY BLOCK-----"}]}',
            "package repository v",
        ),
    ],
)
def test_what_two_components_or_two_fleets_of_a_host_both_have_names_both(spec: str, claim: str) -> None:
    case = with_other(spec).write(SECOND, component("second", spec))
    [found] = denied(using(case, "second"))
    assert (found.rule, found.message) == ("manifest/name-conflict", f"components other and second both have {claim}")
    [found] = denied(case.write("tenants/shop/fleets/base.yaml", BASE))
    assert found.rule == "manifest/name-conflict"
    assert found.message == f"fleets base and web both own {claim} on runners, web-01, web-02 (components second and other)"


def test_what_is_of_a_fleet_alone_may_have_one_name_in_two_fleets_of_a_host() -> None:
    spec = "{files: [{path: /etc/%s, content: x}], actions: [{name: a, on: [/etc/%s], run: [/a]}], reboot: {when: always}}"
    case = with_other(spec % ("a", "a")).write(SECOND, component("second", spec % ("b", "b")))
    assert denied(case.write("tenants/shop/fleets/base.yaml", BASE)) == []


@pytest.mark.parametrize(
    "spec",
    [
        '{packages: [{name: "a${labels.x}"}]}',
        '{services: [{name: a.service, unit: x, dropIns: [{name: "${labels.x}.conf", content: x}]}]}',
        '{users: [{name: a, comment: "${labels.region}"}]}',
    ],
)
def test_a_reference_where_none_is_filled_in_is_refused(spec: str) -> None:
    document = parse_file(OTHER, component("other", spec).encode()).documents[0]
    found = [*validate(document, Layout()), *check_texts(document, texts_of(document, MemoryTree({})))]
    assert [finding for finding in found if finding.action == "deny"]


def test_what_a_state_holds_leads_back_to_the_line_that_made_it() -> None:
    case = with_other("""
      services:
        - name: backup.service
          unit: |
            [Service]
            ExecStart=/bin/true
          timer: |
            [Timer]
          state: running
      kernelSettings:
        sysctl:
          vm.swappiness: 1
      reboot:
        when: always
      hostFiles:
        - name: a
          path: /etc/hosts
          content: x
      processes:
        - name: a
          command: [/a]
          limits:
            memory: 1Gi
    """)
    compiled = case.compile()
    group = compiled.agents["web-01"].group
    listed: Any = compiled.release_input()["release"]["groups"][group]["base"]
    at: dict[str, int] = {file["path"]: index for index, file in enumerate(listed["files"])}
    unit, timer = at["/etc/systemd/system/backup.service"], at["/etc/systemd/system/backup.timer"]
    wanted: list[tuple[Pointer, str]] = [
        (("files", unit, "content"), "unit: |"),
        (("files", unit, "path"), "name: backup.service"),
        (("files", timer, "content"), "timer: |"),
        (("services", 1, "state"), "state: running"),
        (("sysctls", 0, "value"), "vm.swappiness: 1"),
        (("reboot", "when"), "when: always"),
        (("hostFiles", 0, "content"), "content: x"),
        (("processes", 0, "limits", "memory"), "memory: 1Gi"),
    ]
    for pointer, line in wanted:
        place = compiled.origin(("groups", group, "base", *pointer))
        assert place.file == OTHER
        assert line in case.shown(place), pointer


def test_a_fleet_that_runs_more_than_anybody_could_look_after_is_one_finding() -> None:
    many = ", ".join(f"{{name: p{number}, command: [/a], after: [process/nobody], restartOn: [/no]}}" for number in range(100))
    names = [f"c{number}" for number in range(6)]
    case = using(with_other(f"{{processes: [{many}]}}"), *names)
    for name in names:
        spec = f"{{after: [{', '.join(names)}, nobody], processes: [{many}]}}".replace("name: p", f"name: {name}-p")
        case = case.write(f"tenants/shop/components/{name}.yaml", component(name, spec))
    rules = [one.rule for one in denied(case)]
    assert rules.count("manifest/too-much-running") == 1
    assert rules.count("manifest/after") == 0
    assert rules.count("manifest/unknown-path") == 20, "and no more than anybody reads of the rest"
