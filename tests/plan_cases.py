"""A small fleet repository with a history, and plans of it by a real OPA, at a time that stands still.

`python -m tests.plan_cases` writes anew what tests hold plans to: read what changed in it before you commit it.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from reconciler.cli.judging import Bench, opened
from reconciler.cli.memory import Memory
from reconciler.cli.planned import render
from reconciler.cli.planning import Wanted, plan_of
from reconciler.cli.sources import head_of, merge_base_of, place_of
from reconciler.opa.program import find_opa
from reconciler.pipeline.plan.shape import Plan
from reconciler.publication.times import stamp
from tests.acceptance_cases import REPOSITORY, agent, component, fleet, tenant

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""A Monday."""
GOLDEN = Path(__file__).parent / "golden" / "plan"
KEPT = {"text": "plan.txt", "json": "plan.json", "markdown": "plan.md", "html": "plan.html"}
"""The plan of `branched`, by form."""
FIXED = {
    "GIT_AUTHOR_NAME": "Ana Example",
    "GIT_AUTHOR_EMAIL": "ana@example.com",
    "GIT_COMMITTER_NAME": "Ana Example",
    "GIT_COMMITTER_EMAIL": "ana@example.com",
    "GIT_AUTHOR_DATE": "2026-11-20T09:00:00Z",
    "GIT_COMMITTER_DATE": "2026-11-20T09:00:00Z",
    "GIT_CONFIG_GLOBAL": os.devnull,
}
"""So that the same commits have the same ids on any machine."""
ROLLOUT = """\
  rollout:
    waves:
      - {name: canary, matchLabels: {canary: "true"}, soak: 10m}
      - {name: half, limit: 50%, soak: 30m}
      - {name: rest, limit: 100%, approval: required}
    windows: [{cron: "0 8 * * 1-5", duration: 6h, timeZone: Europe/Berlin}]
"""
FREEZE = """\
apiVersion: ordain.dev/v1
kind: Freeze
metadata: {name: peak, tenant: shop}
spec: {fleets: [web], reason: a busy day, owner: ana@example.com, from: "2026-11-23T12:30:00Z", until: "2026-11-24T09:00:00Z"}
"""
CONFIG = """\
apiVersion: ordain.dev/v1
kind: Component
metadata: {name: config, tenant: shop, labels: {owner: ops}}
spec:
  description: What the web hosts serve.
  parameters: {workers: {type: number, default: 2}}
  files:
    - path: /etc/web.conf
      mode: "0644"
      content: |
        region ${labels.region}
        workers ${parameters.workers}
        host ${agent.name}
        end
    - {path: /etc/old.conf, mode: "0644", content: "going away\\n"}
"""


def before() -> dict[str, str]:
    """Return a web fleet in two regions with a strategy, a database fleet, one that will go, and hosts that will move."""
    hosts = {f"web-{number:02d}": {"role": "web", "region": "eu" if number % 2 else "us"} for number in range(1, 7)}
    hosts["web-01"]["canary"] = "true"
    hosts |= {"db-01": {"role": "db"}, "cache-01": {"role": "cache"}}
    return {
        "ordain.yaml": REPOSITORY,
        "tenants/shop/tenant.yaml": tenant("shop"),
        **{f"tenants/shop/agents/{name}.yaml": agent(name, **labels) for name, labels in hosts.items()},
        "tenants/shop/components/config.yaml": CONFIG,
        "tenants/shop/components/backup.yaml": component("backup", "/etc/backup.conf"),
        "tenants/shop/fleets/web.yaml": fleet("web", "config", role="web") + ROLLOUT,
        "tenants/shop/fleets/db.yaml": fleet("db", "backup", role="db"),
        "tenants/shop/fleets/cache.yaml": fleet("cache", "backup", role="cache"),
        "tenants/shop/freezes/peak.yaml": FREEZE,
    }


def after() -> dict[str, str]:
    """Return the same after a change: a line and a file less, a host that moves, a fleet deleted and one made."""
    files = before()
    files["tenants/shop/components/config.yaml"] = CONFIG.partition("    - {path: /etc/old.conf")[0].replace("default: 2", "default: 4")
    files["tenants/shop/agents/web-06.yaml"] = agent("web-06", role="db")
    del files["tenants/shop/fleets/cache.yaml"]
    files["tenants/shop/fleets/standby.yaml"] = fleet("standby", "backup", role="standby")
    return files


def commit(root: Path, files: Mapping[str, str]) -> None:
    """Make these files all that there is, in a commit."""
    for path in [path for path in root.rglob("*") if path.is_file() and ".git" not in path.relative_to(root).parts]:
        path.unlink()
    write(root, files)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Change the fleet")


def write(root: Path, files: Mapping[str, str]) -> None:
    """Write files below a directory."""
    for path, text in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def git(root: Path, *arguments: str) -> str:
    """Run git in a repository, as the same person at the same time ever."""
    done = subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True, env=os.environ | FIXED)
    return done.stdout.strip()


def begin(root: Path, files: Mapping[str, str]) -> Path:
    """Make a repository on the branch `main` with one commit."""
    root.mkdir(exist_ok=True)
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root, files)
    return root


def planned(
    root: Path,
    opa: Path,
    *,
    base: str | None = None,
    head: str | None = None,
    all: bool = False,  # noqa: A002 - as the option
    memory: Memory | None = None,
) -> Plan:
    """Return the plan of a change, by default that of the files as they are."""
    place = place_of(root)
    tree, revision = head_of(place, head)
    start = merge_base_of(place, base, revision)
    wanted = Wanted(base=start.revision if start else None, head=revision, now=NOW, all=all, prefix=place.prefix)
    with opened(tree, start, bench=Bench(opa=opa, memory=memory), now=stamp(NOW), revision=revision) as judged:
        return plan_of(judged, wanted)


def branched(place: Path) -> Path:
    """Make a repository whose branch `topic` is a commit ahead of `main`, which has moved on meanwhile; `topic` is checked out.

    main   A ── C
             ╲
    topic     B
    """
    begin(place, before())
    git(place, "checkout", "--quiet", "-b", "topic")
    commit(place, after())
    git(place, "checkout", "--quiet", "main")
    commit(place, before() | {"tenants/shop/agents/db-02.yaml": agent("db-02", role="db")})
    git(place, "checkout", "--quiet", "topic")
    return place


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        found = planned(branched(Path(name) / "fleets"), find_opa(None), head="topic")
    for form, file in KEPT.items():
        (GOLDEN / file).write_text(click.unstyle(render(found, form)) + "\n")
