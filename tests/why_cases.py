"""A fleet repository whose lines come from everywhere that lines can come from, with a history, and questions about it.

`python -m tests.why_cases` writes anew what tests hold the answers to: read what changed in it before you commit it.
"""

import os
import tempfile
from pathlib import Path

from click.testing import CliRunner

from reconciler.cli import cli
from tests.acceptance_cases import REPOSITORY, agent, tenant
from tests.source_cases import WorkingCopy

GOLDEN = Path(__file__).parent / "golden" / "why"
QUESTIONS = {
    "literal": ("shop/web-01:/etc/web.conf:1",),
    "default": ("shop/web-01:/etc/web.conf:2",),
    "fleet-parameter": ("shop/web-01:/etc/web.conf:3",),
    "label": ("shop/web-01:/etc/web.conf:4",),
    "variant": ("shop/web-01:/etc/web.conf:5",),
    "agent": ("shop/web-01:/etc/web.conf:6",),
    "inside-value": ("shop/web-01:/etc/web.conf:8",),
    "mode": ("shop/web-01:/etc/web.conf:2", "--mode", "incident"),
    "source": ("shop/web-01:/etc/run.sh:2",),
    "included": ("shop/web-01:/etc/base.env:1",),
    "file": ("shop/web-01:/etc/web.conf",),
    "artifact": ("shop/web-01:tool",),
    "in-artifact": ("shop/web-01:/opt/tool/bin/tool",),
    "probe": ("shop/web-01:ready",),
    "directory": ("shop/web-01:/etc/web.d",),
    "pool": ("shop/runners/7f3a:/etc/web.conf:6",),
}
"""What is asked, by the name of the file that keeps the answer."""
WEB = """\
apiVersion: ordain.dev/v1
kind: Component
metadata: {name: web, tenant: shop, labels: {owner: ops}}
spec:
  description: What the web hosts serve.
  includes: [{name: library/base, parameters: {stage: live}}]
  parameters:
    workers: {type: number, default: 2}
    name: {type: string}
    endpoint: {type: string}
    motd: {type: string, default: "one\\ntwo"}
  artifacts:
    - {name: tool, path: /opt/tool, unpack: tar.gz, url: "https://example.com/tool.tar.gz", sha256: "%s"}
  files:
    - {path: /etc/web.d, type: directory, mode: "0755"}
    - path: /etc/web.conf
      mode: "0644"
      content: |
        # written by ordain
        workers ${parameters.workers}
        name "${parameters.name}"
        region ${labels.region}
        send ${parameters.endpoint} from ${labels.region}
        host ${agent.name}
        say ${parameters.motd}
    - {path: /etc/run.sh, mode: "0755", source: files/run.sh}
  probes:
    - {name: ready, http: "http://127.0.0.1:8080/${labels.region}"}
""" % ("a" * 64)
BASE = """\
apiVersion: ordain.dev/v1
kind: Component
metadata: {name: base, labels: {owner: ops}}
spec:
  description: What all hosts hold.
  parameters: {stage: {type: string}}
  files:
    - {path: /etc/base.env, mode: "0644", content: "STAGE=${parameters.stage}\\n"}
"""
FLEET = """\
apiVersion: ordain.dev/v1
kind: Fleet
metadata: {name: web, tenant: shop, labels: {owner: ops}}
spec:
  description: The web hosts.
  selector: {matchLabels: {role: web}}
  components:
    - {name: web, parameters: {name: storefront}}
  variants:
    - {matchLabels: {region: eu}, parameters: {web: {endpoint: fra.example.com}}}
    - {matchLabels: {region: us}, parameters: {web: {endpoint: iad.example.com}}}
  modes:
    - {name: incident, parameters: {web: {workers: 16}}, atMost: 4h}
"""
POOL = """\
apiVersion: ordain.dev/v1
kind: AgentPool
metadata: {name: runners, tenant: shop, labels: {role: web, region: us}}
spec: {lease: 2h, maximum: 5}
"""
FILES = {
    "ordain.yaml": REPOSITORY,
    "library/base.yaml": BASE,
    "tenants/shop/tenant.yaml": tenant("shop"),
    "tenants/shop/agents/web-01.yaml": agent("web-01", role="web", region="eu"),
    "tenants/shop/agents/spare.yaml": agent("spare", role="none"),
    "tenants/shop/pools/runners.yaml": POOL,
    "tenants/shop/components/web.yaml": WEB,
    "tenants/shop/components/files/run.sh": "#!/bin/sh\necho ${labels.region} $${labels.region}\n",
    "tenants/shop/fleets/web.yaml": FLEET,
}


def history(directory: Path) -> WorkingCopy:
    """Return the repository: a first commit, a reviewed change of the fleet, and a branch that was merged at a forge.

    first ── reviewed ───────────── merge of #12 ── unrelated
                    └── on a branch ──┘
    """
    copy = WorkingCopy.make(directory)
    _commit(copy, 1, "Begin", dict(FILES))
    eu = FLEET.replace("fra.example.com", "fra2.example.com")
    _commit(copy, 2, "Send to the new place\n\nReviewed-by: Bob Builder <bob@example.com>", {"tenants/shop/fleets/web.yaml": eu})
    copy.git("checkout", "--quiet", "-b", "topic")
    _commit(copy, 3, "More workers", {"tenants/shop/components/web.yaml": WEB.replace("default: 2", "default: 4")})
    copy.git("checkout", "--quiet", "main")
    _dated(
        copy,
        4,
        "merge",
        "--quiet",
        "--no-ff",
        "-m",
        "Merge pull request #12 from shop/topic\n\nApproved-by: Cleo <cleo@example.com>",
        "topic",
    )
    _commit(copy, 5, "Something else", {"README.md": "fleets\n"})
    return copy


def _commit(copy: WorkingCopy, hour: int, message: str, files: dict[str, str | None]) -> None:
    for name, text in files.items():
        file = copy.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text or "")
    copy.git("add", "--all")
    _dated(copy, hour, "commit", "--quiet", "-m", message)


def _dated(copy: WorkingCopy, hour: int, *arguments: str) -> None:
    """Run git at a time that stands still, so that commits have the same ids on any machine."""
    when = f"2026-11-20T0{hour}:00:00Z"
    before = {name: os.environ.get(name) for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE")}
    os.environ.update(dict.fromkeys(before, when))
    try:
        copy.git(*arguments)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def ask(repo: Path, *arguments: str) -> str:
    """Return what `ordain why` answers; fail where it does not."""
    done = CliRunner().invoke(cli, ["why", *arguments, "--repo", str(repo)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
    with tempfile.TemporaryDirectory() as directory:
        made = history(Path(directory, "fleets"))
        for kept, question in QUESTIONS.items():
            (GOLDEN / f"{kept}.txt").write_text(ask(made.path, *question))
        (GOLDEN / "variant.json").write_text(ask(made.path, *QUESTIONS["variant"], "--format", "json"))
