"""Thirty small rules, written once and put into the form of ordain and of conftest: the same work on both sides.

Each is a body in Rego that reads the manifest as `DOC`. ordain gets it as a package with METADATA that names the kind it is
about, as its own library has them, and conftest as a package that asks for the kind first, or as one of several rules of one package.
"""

import hashlib
from dataclasses import dataclass

_FILE = "some i, file in DOC.spec.files\n"
_OF_NOTHING = hashlib.sha256(b"").hexdigest()
_ARTIFACT = "some i, artifact in DOC.spec.artifacts\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule: its name, the kind it is about (empty: any), its body, and where in the manifest it points."""

    name: str
    kind: str
    body: str
    path: str


def _about_file(name: str, condition: str, field: str = "path") -> Check:
    return Check(name=name, kind="Component", body=_FILE + condition, path=f'["spec", "files", i, "{field}"]')


def _about_artifact(name: str, condition: str, field: str) -> Check:
    return Check(name=name, kind="Component", body=_ARTIFACT + condition, path=f'["spec", "artifacts", i, "{field}"]')


def _about_fleet(name: str, body: str, path: str) -> Check:
    return Check(name=name, kind="Fleet", body=body, path=path)


CHECKS = (
    _about_file("world_writable", "regex.match(`[2367]$`, file.mode)", "mode"),
    _about_file("set_uid", "regex.match(`^[4-7]`, file.mode)", "mode"),
    _about_artifact("https_only", 'not startswith(artifact.url, "https://")', "url"),
    Check(name="owner", kind="", body='not DOC.kind in {"Repository", "Tenant"}\nnot DOC.metadata.labels.owner', path='["metadata"]'),
    _about_file("private_key", 'contains(file.content, "PRIVATE KEY")', "content"),
    _about_fleet("canary_first", 'DOC.spec.rollout.waves[0].name != "canary"', '["spec", "rollout"]'),
    Check(name="description", kind="", body="not DOC.spec.description", path='["spec"]'),
    _about_file("sudoers", 'startswith(file.path, "/etc/sudoers")'),
    _about_artifact("pinned", 'contains(artifact.url, "latest")', "url"),
    _about_file("accounts", 'file.path in {"/etc/passwd", "/etc/shadow", "/etc/group"}'),
    _about_file("cron", 'startswith(file.path, "/etc/cron")'),
    _about_file("boot", 'startswith(file.path, "/boot/")'),
    _about_file("kernel", 'startswith(file.path, "/etc/sysctl")'),
    _about_file("root_home", 'startswith(file.path, "/root/")'),
    _about_file("temporary", 'startswith(file.path, "/tmp/")'),
    _about_file("preload", 'file.path == "/etc/ld.so.preload"'),
    _about_file("cloud_key", "regex.match(`AKIA[0-9A-Z]{16}`, file.content)", "content"),
    _about_file("password", "regex.match(`(?i)password\\s*[=:]\\s*\\S`, file.content)", "content"),
    _about_file("token", "regex.match(`gh[pousr]_[A-Za-z0-9]{36}`, file.content)", "content"),
    _about_file("debug", "regex.match(`(?i)debug\\s*[=:]\\s*true`, file.content)", "content"),
    _about_artifact("hosts", 'not startswith(artifact.url, "https://artifacts.example.com/")', "url"),
    _about_artifact("empty", f'artifact.sha256 == "{_OF_NOTHING}"', "sha256"),
    _about_artifact("place", 'not startswith(artifact.path, "/opt/")', "path"),
    _about_fleet("everybody", "count(DOC.spec.selector.matchLabels) == 0", '["spec", "selector"]'),
    _about_fleet("many_components", "count(DOC.spec.components) > 20", '["spec", "components"]'),
    _about_fleet("long_mode", 'some i, mode in DOC.spec.modes\nendswith(mode.atMost, "d")', '["spec", "modes", i, "atMost"]'),
    _about_fleet("soak", 'some i, wave in DOC.spec.rollout.waves\nwave.soak == "0s"', '["spec", "rollout", "waves", i]'),
    Check(
        name="region",
        kind="Agent",
        body='not object.get(DOC.metadata, ["labels", "region"], "") in {"eu", "us", "ap"}',
        path='["metadata", "labels"]',
    ),
    Check(name="canary_label", kind="Agent", body="not DOC.metadata.labels.canary", path='["metadata", "labels"]'),
    Check(name="test_name", kind="", body='startswith(DOC.metadata.name, "test-")', path='["metadata", "name"]'),
)
FEW = 10
"""How many of them, the first ones, are one package for the comparison in the shape that conftest likes best."""
_FAULTY = {
    "faulty-component.yaml": """\
apiVersion: ordain.dev/v1
kind: Component
metadata:
  name: test-faulty
  tenant: tenant-00
spec:
  artifacts:
    - {name: one, path: /usr/bin/one, url: "http://mirror.example.com/latest/one", sha256: "{nothing}"}
  files:
    - {path: /etc/sudoers.d/all, mode: "4777", content: "-----BEGIN PRIVATE KEY-----"}
    - {path: /etc/passwd, content: AKIAABCDEFGHIJKLMNOP}
    - {path: /etc/cron.d/job, content: "password: hunter2"}
    - {path: /boot/loader.conf, content: "ghp_abcdefghijklmnopqrstuvwxyz0123456789"}
    - {path: /etc/sysctl.d/9.conf, content: "debug: true"}
    - {path: /root/.profile, content: a}
    - {path: /tmp/file, content: a}
    - {path: /etc/ld.so.preload, content: a}
""".replace("{nothing}", _OF_NOTHING),
    "faulty-fleet.yaml": """\
apiVersion: ordain.dev/v1
kind: Fleet
metadata:
  name: faulty
  tenant: tenant-00
spec:
  selector: {matchLabels: {}}
  components: [{many}]
  modes: [{name: incident, parameters: {}, atMost: 4d}]
  rollout:
    waves: [{name: all, limit: 100%, soak: 0s}]
""".replace("{many}", ", ".join(f"{{name: part-{number}}}" for number in range(21))),
    "faulty-agent.yaml": """\
apiVersion: ordain.dev/v1
kind: Agent
metadata: {name: faulty, tenant: tenant-00}
spec: {}
""",
}


def faulty(directory: str) -> dict[str, str]:
    """Return manifests that between them break every rule, so that both sides can be seen to find all thirty."""
    return {f"{directory}/{name}": text for name, text in _FAULTY.items()}


def of_ordain(count: int) -> dict[str, str]:
    """Return the first rules as a vendored library: then they alone judge, whatever this version brings."""
    return {f"policies/library/rules/bench/{check.name}/{check.name}.rego": _ordain(check) for check in CHECKS[:count]}


def _ordain(check: Check) -> str:
    schemas = "#   - input: schema.input\n" + (f"#   - input.object: schema.{check.kind.lower()}\n" if check.kind else "")
    return (
        f"# METADATA\n# title: Rule {check.name} of the benchmark\n# description: It says no to {check.name}.\n# schemas:\n{schemas}"
        f"# custom:\n#   scope: object\n#   severity: deny\n#   code: bench/{check.name.replace('_', '-')}\n#   remedy: none is needed\n"
        f"package ordain.rules.bench.{check.name}\n\nimport data.ordain.result\n\n"
        f"deny contains result.at(rego.metadata.chain(), {check.path}, message) if {{\n{_body(check, 'input.object')}"
        f'\tmessage := "{check.name}"\n}}\n'
    )


def of_conftest(count: int, *, packages: bool) -> dict[str, str]:
    """Return the first rules for conftest, each a package of its own, or all of them in `main`."""
    if packages:
        return {f"{check.name}.rego": f"package {check.name}\n\n{_conftest(check)}" for check in CHECKS[:count]}
    return {"main.rego": "package main\n\n" + "\n".join(_conftest(check) for check in CHECKS[:count])}


def _conftest(check: Check) -> str:
    kind = f'\tinput.kind == "{check.kind}"\n' if check.kind else ""
    return f'deny contains message if {{\n{kind}{_body(check, "input")}\tmessage := "{check.name}"\n}}\n'


def _body(check: Check, document: str) -> str:
    return "".join(f"\t{line}\n" for line in check.body.replace("DOC", document).splitlines())
