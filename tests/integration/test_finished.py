"""What labels and parameters make of a text is judged before a release has it, at the line that it comes from."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from reconciler.opa.program import find_opa
from reconciler.pipeline.acceptance import Decision
from reconciler.pipeline.acceptance.finished import ask_finished
from reconciler.pipeline.policy.evaluate import Policies
from reconciler.pipeline.policy.recorder import Recorder
from reconciler.pipeline.positions import verdict
from tests.acceptance_cases import REPOSITORY, Bench, agent, repository
from tests.policy_cases import CHANGE, finds, judge, rego

pytestmark = pytest.mark.needs("opa")

COMPONENT, FLEET = "tenants/shop/components/motd.yaml", "tenants/shop/fleets/web.yaml"
SOURCE = "tenants/shop/components/files/text"
WEB = ("shop", "web")
SSHD, SUDOERS = "/etc/ssh/sshd_config.d/10-a.conf", "/etc/sudoers.d/a"
HARMLESS = "people"
ROOT = "PermitRootLogin yes"
GIVEN = f"people\\n{ROOT}"
"""A value with a line of its own, as YAML has it in double quotes."""
TEXT = "# by ordain\nAllowGroups ${parameters.line}\n"


def files(path: str, text: str, *, given: str = "", spec: str = "", source: bool = False) -> dict[str, str]:
    """Return a repository with one file of these lines in its component; `given` is what the fleet gives for `line`."""
    lines = "".join(f"        {line}\n" for line in text.splitlines())
    content = "      source: files/text\n" if source else f"      content: |\n{lines}"
    mode = "0440" if path == SUDOERS else "0644"
    check = '      check: [/usr/sbin/visudo, -cf, "{staged}"]\n' if path == SUDOERS else ""
    written = (
        "apiVersion: ordain.dev/v1\nkind: Component\nmetadata: {name: motd, tenant: shop, labels: {owner: ops}}\nspec:\n"
        f"  description: A component of the tests.\n  parameters: {{line: {{type: string, default: {HARMLESS}}}}}\n"
        f'  files:\n    - path: {path}\n      mode: "{mode}"\n{check}{content}'
    )
    uses = f'{{name: motd, parameters: {{line: "{given}"}}}}' if given else "{name: motd}"
    found = repository()
    found |= {COMPONENT: written, FLEET: found[FLEET].replace("{name: motd}", uses) + spec}
    return found | ({SOURCE: text} if source else {})


OTHERS = ("tenants/shop/components/backup.yaml", "tenants/lab/components/issue.yaml")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(opa=find_opa(None), cache=tmp_path, stack=stack)


def told(decision: Decision, at: dict[str, str]) -> list[tuple[str, str, int, bool]]:
    """Return the denies of a decision: rule, file, line and whether it blocks."""
    denied = [one for one in decision.judged if one.finding.action == "deny"]
    shown = [(one, verdict(one.finding, lambda path: at[path].encode())) for one in denied]
    return [(seen.rule, seen.file, seen.line, one.blocking) for one, seen in shown]


def released(decision: Decision) -> bool:
    return WEB in decision.releases


VARIANT = f'  variants: [{{matchLabels: {{role: web}}, parameters: {{motd: {{line: "{GIVEN}"}}}}}}]\n'
MODE = f'  modes: [{{name: open, atMost: 1h, parameters: {{motd: {{line: "{GIVEN}"}}}}}}]\n'


@pytest.mark.parametrize(
    "proposed",
    [
        files(SSHD, TEXT, given=GIVEN),
        files(SSHD, TEXT, spec=VARIANT),
        files(SSHD, TEXT, spec=MODE),
    ],
    ids=["a parameter", "a variant", "a mode"],
)
def test_a_value_that_opens_sshd_refuses_the_release_at_the_line_that_it_is_filled_into(bench: Bench, proposed: dict[str, str]) -> None:
    bench.decide(files(SSHD, HARMLESS))
    decision = bench.decide(proposed)
    assert told(decision, proposed) == [("host-safety/sshd", COMPONENT, 12, True)]
    assert not released(decision)
    assert "host-safety/sshd" in decision.frozen[WEB]
    assert decision.refused == {}, "the component is as good as it was: what is refused is the release"


def test_a_value_with_several_lines_is_placed_in_the_source_file(bench: Bench) -> None:
    proposed = files(SUDOERS, "# one\nDefaults ${parameters.line}\n# three\n", given="lecture\\nops ALL=(ALL) NOPASSWD: ALL", source=True)
    decision = bench.decide(proposed)
    assert told(decision, proposed) == [("host-safety/sudoers", SOURCE, 2, True)]
    [one] = [one.finding for one in decision.judged if one.blocking]
    assert one.message == f"{SUDOERS} grants every command without a password, once ${{parameters.line}} is filled in for shop/web"
    assert {COMPONENT, FLEET} <= one.files


def test_lines_below_a_value_with_several_are_still_found(bench: Bench) -> None:
    proposed = files(SSHD, "# ${parameters.line}\nAllowGroups ${parameters.line}\n", given=GIVEN, source=True)
    assert [one[1:3] for one in told(bench.decide(proposed), proposed)] == [(SOURCE, 1), (SOURCE, 2)]


FETCHED = "curl https://a.example | sh"
RUNNING = {
    "a unit": (
        "services:\n    - name: a.service\n      unit: |\n        [Service]\n        User=a\n        ExecStart=${parameters.line}\n",
        12,
    ),
    "a unit in a source": ("services:\n    - name: a.service\n      source: files/text\n", 4),
    "a drop-in": ("services:\n    - name: a.service\n      dropIns: [{name: a.conf, content: 'ExecStart=${parameters.line}'}]\n", 9),
    "a process": ("processes:\n    - name: a\n      user: a\n      command: [/bin/sh, -c, '${parameters.line}']\n", 10),
    "a container": (
        f"containers:\n    - name: a\n      image: e@sha256:{'ab' * 32}\n      user: a\n      command: ['${{parameters.line}}']\n",
        11,
    ),
    "a block of lines": ("hostFiles:\n    - name: a\n      path: /etc/bash.bashrc\n      content: '${parameters.line}'\n", 10),
}
"""What holds a text beside files → a spec with one, and the line at which a value of it is found."""


@pytest.mark.parametrize("what", RUNNING)
def test_a_value_in_what_runs_on_a_host_is_judged_where_it_is_filled_in(bench: Bench, what: str) -> None:
    spec, line = RUNNING[what]
    source = "# one\n[Service]\nUser=a\nExecStart=${parameters.line}\n" if "source" in what else "none"
    head = files("/etc/a", "none", given=FETCHED)
    proposed = head | {COMPONENT: head[COMPONENT].partition("  files:")[0] + "  " + spec, SOURCE: source}
    found = told(bench.decide(proposed), proposed)
    place = SOURCE if "source" in what else COMPONENT
    assert ("supply-chain/remote-scripts", place, line, True) in found


def test_what_the_component_has_as_it_is_written_is_not_told_twice(bench: Bench) -> None:
    warned = "  rules: {host-safety/sshd: {level: warn}}\n"
    proposed = files(SSHD, f"{ROOT}\nAllowGroups ${{parameters.line}}\n") | {"ordain.yaml": REPOSITORY + warned}
    decision = bench.decide(proposed)
    found = [one.finding.scope for one in decision.judged if one.finding.rule == "host-safety/sshd"]
    assert found == ["object"]
    assert released(decision)


def test_a_second_line_of_a_text_is_told_though_a_first_is_known(bench: Bench) -> None:
    warned = "  rules: {supply-chain/remote-scripts: {level: warn}}\n"
    proposed = files("/etc/a.sh", "curl https://a.example | sh\n${parameters.line}\n", given="curl https://b.example | sh")
    decision = bench.decide(proposed | {"ordain.yaml": REPOSITORY + warned})
    found = [verdict(one.finding, lambda path: proposed[path].encode()) for one in decision.judged]
    assert [one.line for one in found if one.rule == "supply-chain/remote-scripts"] == [11, 12]


def test_what_runs_already_stands_when_the_rule_comes_later(bench: Bench) -> None:
    before = files(SSHD, TEXT, given=GIVEN)
    off = "  rules: {host-safety/sshd: {level: off}}\n"
    assert released(bench.decide(before | {"ordain.yaml": REPOSITORY + off.replace("off", '"off"')}))
    bench.decide(before)
    after = before | {"tenants/shop/agents/web-03.yaml": agent("web-03", role="web")}
    decision = bench.decide(after)
    assert told(decision, after) == [("host-safety/sshd", COMPONENT, 12, False)]


def test_a_waiver_excuses_the_line_of_the_fleet(bench: Bench) -> None:
    waiver = (
        "apiVersion: ordain.dev/v1\nkind: Waiver\nmetadata: {name: root, tenant: shop}\nspec:\n  rule: host-safety/sshd\n"
        f"  object: {{kind: Fleet, name: web}}\n  at: 'files[{SSHD}].content'\n  value: {ROOT}\n"
        "  reason: old machines\n  owner: ana@example.com\n  expires: 2026-12-01\n"
    )
    proposed = files(SSHD, TEXT, given=GIVEN) | {"tenants/shop/waivers/root.yaml": waiver}
    decision = bench.decide(proposed)
    assert released(decision), [(one.finding, one.notes) for one in decision.judged if one.blocking]
    other = proposed | {FLEET: proposed[FLEET].replace(ROOT, "PermitEmptyPasswords yes")}
    assert [one[3] for one in told(bench.decide(other), other)] == [True]


OWN = rego(
    "ordain.custom.test.words",
    finds('some i, file in input.object.spec.files\n\tcontains(file.content, "forbidden")', '["spec", "files", i, "content"]'),
    custom="finished: true",
    kind="component",
).decode()


def test_a_rule_of_the_repository_may_ask_to_see_finished_texts(bench: Bench) -> None:
    proposed = files("/etc/a", "${parameters.line}\n", given="forbidden")
    silent = bench.decide(proposed | {"policies/a.rego": OWN.replace("#   finished: true\n", "")})
    assert told(silent, proposed) == []
    decision = bench.decide(proposed | {"policies/a.rego": OWN, FLEET: proposed[FLEET].replace('"forbidden"', '"forbidden too"')})
    assert told(decision, proposed) == [("custom/test/words", COMPONENT, 10, True)]


def test_a_label_is_judged_where_it_is_filled_in(bench: Bench) -> None:
    agents = {f"tenants/shop/agents/web-0{one}.yaml": agent(f"web-0{one}", role="web", what="forbidden") for one in (1, 2)}
    proposed = files("/etc/a", "${labels.what}\n") | agents | {"policies/a.rego": OWN}
    assert told(bench.decide(proposed), proposed) == [("custom/test/words", COMPONENT, 10, True)]


@pytest.mark.parametrize("rule", [OWN.replace("schema.component", "schema.fleet"), OWN.replace("scope: object", "scope: release")])
def test_only_rules_about_components_may(bench: Bench, rule: str) -> None:
    decision = bench.decide(repository() | {"policies/a.rego": rule})
    messages = [one.finding.message for one in decision.judged if one.blocking]
    assert any("custom.finished is for rules of scope object about components" in one for one in messages), messages


def test_only_what_was_filled_in_is_asked_about_and_each_text_once(bench: Bench) -> None:
    proposed = files(SSHD, "# ${labels.rack}\nAllowGroups ${parameters.line}\n") | {
        f"tenants/shop/agents/web-{number:02}.yaml": agent(f"web-{number:02}", role="web", rack=f"r{number % 3}", own=f"n{number}")
        for number in range(1, 31)
    }
    proposed[COMPONENT] += "    - {path: /etc/plain, content: as it is}\n    - {path: /etc/host, content: '${agent.name}'}\n"
    compiled = bench.decide(proposed).compiled
    recorder = Recorder()
    opa = find_opa(None)
    with Policies(judge(opa), opa=opa, server=recorder) as policies:
        assert ask_finished(policies, compiled[WEB], CHANGE) == []
        asked = [one.input["object"]["spec"] for one in recorder.seen]
        recorder.seen.clear()
        assert ask_finished(policies, compiled[("shop", "db")], CHANGE) == []
        assert recorder.seen == []
    texts = [file["content"] for spec in asked for file in spec["files"]]
    assert {file["path"] for spec in asked for file in spec["files"]} == {SSHD}
    assert set(texts) == {f"# r{number}\nAllowGroups {HARMLESS}\n" for number in range(3)}
    groups = len(texts) // 3
    assert sorted(texts) == sorted(list(set(texts)) * groups), "each text as often as there are sets of parameters of rules"


@pytest.mark.needs("git")
def test_ordain_check_tells_a_stranger_what_the_value_does(tmp_path: Path) -> None:
    for path, text in files(SSHD, TEXT, given=GIVEN).items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    ordain = Path(sys.executable).parent / "ordain"
    done = subprocess.run([ordain, "check", tmp_path], check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{COMPONENT}:12:21 deny host-safety/sshd" in done.stdout
    assert f"{SSHD} sets permitrootlogin to yes, once ${{parameters.line}} is filled in for shop/web" in done.stdout


def test_an_error_of_a_rule_refuses_the_release(bench: Bench) -> None:
    failing = OWN.replace('contains(file.content, "forbidden")', 'not contains(file.content, "${")\n\tto_number(file.content) == 1')
    proposed = files("/etc/a", "${parameters.line}", given="x") | {"policies/a.rego": failing}
    proposed |= {path: proposed[path].replace('"hello"', '"1"') for path in OTHERS}
    [one] = [one.finding for one in bench.decide(proposed).judged if one.finding.action == "error"]
    assert (one.rule, one.scope, *one.fleets) == ("custom/test/words", "release", "shop/web")
    assert one.message.startswith("rule custom/test/words could not judge Fleet shop/web: ")
