"""The demo: commits to a fleet repository on their way to three hosts, and a bad one that gets to none.

Everything is real (git, OPA, `ordain up`, three agents that enrol and speak mutual TLS) and happens in a temporary directory, without
privileges. It ends by itself, with exit code 0 if all that it claims held; `--keep` leaves everything running and says where.

    make demo
    make demo KEEP=1
"""

import argparse
import io
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stage import BIN, FailedError, Stage, digest, stop_on_signals
from trimmed import hasten, trim

from agent.host import Host as Root
from agent.logs import Log
from agent.processes.supervisor import supervise

EXAMPLE = Path(__file__).resolve().parent / "fleet-repo"
POLL = 2
"""Seconds after which an agent looks at its host here, 30 unless one says otherwise. News come at once."""
AGENTS, LOCAL = "agents at ", "local at "
SSHD = "etc/ssh/sshd_config.d/10-acme.conf"
COLLECTOR = "etc/otelcol/config.yaml"
SHORT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host of the demo: an agent of the example, with a directory that stands for its file system."""

    tenant: str
    name: str
    fleets: frozenset[str]

    @property
    def root(self) -> Path:
        """What is `/` to the agent, below the demo's directory."""
        return Path("hosts", self.name)

    @property
    def state(self) -> Path:
        """The agent's own directory."""
        return Path("agents", self.name)


HOSTS = (
    Host(tenant="shop", name="web-01", fleets=frozenset({"baseline", "web"})),
    Host(tenant="shop", name="web-03", fleets=frozenset({"baseline", "web"})),
    Host(tenant="edge", name="store-berlin", fleets=frozenset({"gateways"})),
)


# The story


def begin(stage: Stage) -> None:
    """Make a fleet repository of the example."""
    stage.chapter("A fleet repository")
    stage.say(f"Everything below happens in {stage.directory}.\n")
    shutil.copytree(EXAMPLE, stage.directory / "fleets", ignore=shutil.ignore_patterns(".git"))
    trim(stage.directory / "fleets")
    hasten(stage.directory / "fleets")
    edit(stage, "ordain.yaml", "  rules:\n", ALLOWED)
    edit(stage, "ordain.yaml", "canary-first: {level: deny, parameters: {limit: 25%}}", 'canary-first: {level: "off"}')
    stage.run("git init --quiet --initial-branch main fleets", shown=False)
    commit(stage, "Describe the hosts of Acme", shown=False)
    stage.run("git -C fleets log --oneline --stat=90 -- tenants library policies ordain.yaml")
    stage.run("ordain check fleets")
    stage.say("Schemas and policies agree; nothing was needed for this but the files and OPA.")
    stage.say("(The hosts below are directories, so the services, accounts and packages of examples/fleet-repo are left out of this copy.)")


def bring_up(stage: Stage) -> None:
    """Start the control plane and wait until the first commit is published."""
    stage.chapter("The control plane, in one process")
    stage.start("up", "ordain up --repo fleets --state state --listen 127.0.0.1:0 --local 127.0.0.1:0")
    stage.until("ordain up listens", lambda: "local at http" in stage.log("up"), process="up")
    seconds = examined(stage)
    stage.say(f"\nThe first commit was examined, compiled, signed and published {seconds:.1f} s after it listened:\n")
    stage.run("ordain status --state state")


def start_agents(stage: Stage) -> None:
    """Have three hosts join by tokens, start their agents, and wait until each has applied its fleets."""
    stage.chapter("Three hosts join")
    stage.say("A token lets one host join, once. The host makes its own key, and gets a certificate that says who it is:\n")
    for number, host in enumerate(HOSTS):
        (stage.directory / host.root).mkdir(parents=True)
        told = f"ordain token create --tenant {host.tenant} --agent {host.name} --ttl 10m --state state"
        stage.run(told, shown=number == 0, into=f"{host.name}.token")
        joining = (
            f"ordain-agent enroll --server {address(stage, AGENTS)} --token-file {host.name}.token --state {host.state} --root {host.root}"
        )
        stage.run(joining, shown=number == 0)
    stage.say("\nFrom now on it needs no settings, and everything between it and the server is mutual TLS:\n")
    for host in HOSTS:
        stage.start(host.name, f"ordain-agent run --state {host.state} --root {host.root} --poll {POLL}")
    stage.say("")
    for host in HOSTS:
        stage.until(f"{host.name} applied {', '.join(sorted(host.fleets))}", lambda host=host: applied(stage, host), process=host.name)  # type: ignore[misc]
    stage.run(f"ordain-agent status --state {HOSTS[0].state}")
    stage.until("the server knows of all hosts", lambda: reported(stage), process="up", pause=0.2)
    stage.say("They tell what became of it, so the server knows too:\n")
    stage.run("ordain agents list --state state")
    stage.say("One template, two regions; each host got what its labels say, resolved before it was judged and signed:\n")
    here, there = (host.root / COLLECTOR for host in HOSTS[:2])
    stage.run(f"diff {here} {there}", ends=1)


def good_change(stage: Stage) -> None:
    """Commit a change that concerns all three hosts, and time it."""
    stage.chapter("A good commit")
    edit(stage, "library/sshd/sshd.yaml", "MaxAuthTries 3", "MaxAuthTries 2")
    stage.run("git -C fleets diff --unified=0")
    committed = commit(stage, "Give guesses at keys one try fewer")
    arrive(stage, "MaxAuthTries 2", committed)
    examined(stage)
    stage.run("ordain status --state state")


def bad_change(stage: Stage) -> None:
    """Commit a change with three faults, and see that it is refused and no host is touched."""
    stage.chapter("A bad commit")
    stage.say("Meant well, done in a hurry: a world-writable sshd configuration, a misspelt field, and European traces sent to America.\n")
    edit(stage, "library/sshd/sshd.yaml", "LoginGraceTime 30", "LoginGraceTime 20")
    edit(stage, "library/sshd/sshd.yaml", 'mode: "0600"', 'mode: "0666"')
    edit(stage, "tenants/shop/components/storefront.yaml", "keepalive 32;", "keepalive 64;")
    edit(stage, "tenants/shop/components/storefront.yaml", "      content: |", "      contnet: |")
    edit(stage, "tenants/shop/fleets/web.yaml", "otel.eu.example.com", "otel.us.example.com")
    before = digests(stage)
    commit(stage, "Tidy up")
    stage.say("`ordain check` would have told, before the commit, with every fault at its line:\n")
    stage.run("ordain check fleets", ends=1)
    examined(stage)
    stage.say("The reconciler came to the same conclusion, and holds the fleets that depend on these files at their last release:\n")
    stage.run("ordain status --state state")
    require_frozen(stage, {"shop/baseline", "shop/web", "edge/gateways"})
    require_polls(stage)
    stage.say("Each agent has polled since. The digest of all that is on each host, before and after:\n")
    for host, (old, new) in zip(HOSTS, zip(before, digests(stage), strict=True), strict=True):
        stage.say(f"    {host.name:13} {old[:32]}…  {new[:32]}…  {'unchanged' if old == new else 'CHANGED'}")
        if old != new:
            stage.fail(f"{host.name} changed, though the commit was refused", host.name)


def trail(stage: Stage) -> None:
    """Show what git remembers of it, and that the signed records form a chain."""
    stage.chapter("The trail")
    stage.say("The decision is a note on the commit, in the fleet repository itself; any clone can have it:\n")
    stage.until("the note is written", lambda: "refused" in note(stage), process="up", pause=0.2)
    stage.run("git -C fleets log --notes=ordain/* -1")
    last, first = (
        stage.read(f"ordain audit show {revision} --state state --format json") for revision in (head(stage), head(stage, "HEAD~1"))
    )
    previous = last["decisions"][-1]["previous"]
    named = re.search(r"^record \S+ sha256:([0-9a-f]{64})$", note(stage, "HEAD~1"), re.MULTILINE)
    if named is None or named[1] != previous:
        stage.fail("the record of this decision does not name the record of the one before it")
    stage.say(
        f"Behind it stands record {last['decisions'][-1]['sequence']}, signed, which names record {first['decisions'][-1]['sequence']}"
        f" by its digest, {previous[:SHORT]}…: as the note of the commit before does."
    )


def mend(stage: Stage) -> None:
    """Fix the faults, keep what was meant, and see the hosts converge."""
    stage.chapter("The fix")
    edit(stage, "library/sshd/sshd.yaml", 'mode: "0666"', 'mode: "0600"')
    edit(stage, "tenants/shop/components/storefront.yaml", "      contnet: |", "      content: |")
    edit(
        stage,
        "tenants/shop/fleets/web.yaml",
        '{matchLabels: {region: eu}, parameters: {library/collector: {endpoint: "otel.us',
        EU_TELEMETRY,
    )
    stage.say("What is left of it, beside the last commit that was accepted:\n")
    stage.run("git -C fleets diff --unified=0 HEAD~1")
    committed = commit(stage, "Keep what was meant, without the faults")
    arrive(stage, "LoginGraceTime 20", committed)
    examined(stage)
    require_frozen(stage, set())
    stage.run("ordain status --state state")
    for host in HOSTS:
        stage.until(f"{host.name} is where it should be", lambda host=host: applied(stage, host), process=host.name)  # type: ignore[misc]
    stage.say("All fleets go on, and all hosts run what the newest commit says.")


def process(stage: Stage) -> None:
    """Start a process by a commit, restart it once by another, kill it, and see it come back."""
    stage.chapter("A process")
    stage.say("What reads a configuration should run, and run with the newest. `sleep` stands for the collector:\n")
    web = HOSTS[:2]
    edit(stage, "library/collector/collector.yaml", "  files:\n", PROCESS)
    stage.run("git -C fleets diff --unified=0")
    committed = commit(stage, "Run the collector")
    first = running(stage, web, dict.fromkeys(web, 0))
    for host in web:
        stage.say(f"    {host.name:13} runs it as process {first[host]}, {time.monotonic() - committed:.2f} s after the commit")
    stage.say("\nIts configuration changes, so it is restarted, once:\n")
    edit(stage, "library/collector/collector.yaml", "queue_size: 5000", "queue_size: 6000")
    commit(stage, "Keep more while the line is down")
    second = running(stage, web, first)
    for host in web:
        stage.say(f"    {host.name:13} runs it as process {second[host]}, with {queue_of(stage, host)}")
    settled(stage)  # what dies before a release has proved itself would have that taken back
    stage.say(f"\nKilled by hand on {web[0].name}, it is started again by the agent:\n")
    os.kill(second[web[0]], signal.SIGKILL)
    third = running(stage, web[:1], second)
    stage.say(f"    {web[0].name:13} runs it as process {third[web[0]]}")
    stage.run(f"ordain-agent status --state {web[0].state}")
    if running(stage, web[1:], {web[1]: 0})[web[1]] != second[web[1]]:
        stage.fail(f"the process of {web[1].name} was restarted, though nothing changed there", web[1].name)


STORY = (begin, bring_up, start_agents, good_change, bad_change, trail, mend, process)
ALLOWED = """\
  rules:
    # In this demo what runs belongs to whoever runs it.
    host-safety/root-processes: {level: deny, parameters: {allowed: [collector]}}
    # And each release goes to all hosts at once: a demo has no hours for the first to prove themselves.
    reliability/soak: {level: "off"}
"""
PROCESS = """\
  processes:
    - name: collector
      command: [/bin/sleep, "100000"]
      restartOn: [/etc/otelcol/config.yaml]
      limits: {memory: 64Mi}
  files:
"""
EU_TELEMETRY = '{matchLabels: {region: eu}, parameters: {library/collector: {endpoint: "otel.eu'


# What the story is made of


def edit(stage: Stage, path: str, old: str, new: str) -> None:
    """Replace the first `old` in a file of the fleet repository."""
    place = stage.directory / "fleets" / path
    text = place.read_text()
    if old not in text:
        stage.fail(f"{path} of the example no longer has {old!r}; bring the demo up to date with it")
    place.write_text(text.replace(old, new, 1))


def commit(stage: Stage, message: str, *, shown: bool = True) -> float:
    """Commit all that was edited; return when."""
    stage.run("git -C fleets add --all", shown=False)
    stage.run(f"git -C fleets commit --quiet --message '{message}'", shown=shown)
    return time.monotonic()


def head(stage: Stage, revision: str = "HEAD") -> str:
    """Return a commit's sha."""
    return stage.run(f"git -C fleets rev-parse {revision}", shown=False).strip()


def note(stage: Stage, revision: str = "HEAD") -> str:
    """Return the note of a commit, or nothing."""
    return stage.run(f"git -C fleets log -1 --notes=ordain/* --format=%N {revision}", shown=False)


def address(stage: Stage, of: str) -> str:
    """Return where `ordain up` listens, as it said itself: `AGENTS` or `LOCAL`."""
    return stage.log("up").split(of, 1)[1].split("\n", 1)[0].strip()


def reported(stage: Stage) -> bool:
    """Return whether the server has heard of each host that all its fleets are applied there."""
    return all(
        {one["fleet"] for one in stage.read(f"ordain agents show {host.tenant}/{host.name} --state state --format json")["standing"]}
        == host.fleets
        for host in HOSTS
    )


def status(stage: Stage) -> Any:
    """Return what `ordain status` says."""
    return stage.read("ordain status --state state --format json")


def examined(stage: Stage) -> float:
    """Wait until the newest commit is examined and all that is not frozen is published; return the seconds that took."""
    newest = head(stage)

    def holds() -> bool:
        found = status(stage)
        return bool(found["ready"] and found["head"] == newest)

    return stage.until(f"{newest[:SHORT]} is examined and published", holds, process="up")


def settled(stage: Stage) -> None:
    """Wait until no release is on its way to hosts."""
    stage.until(
        "all releases are through", lambda: all(one["state"] == "published" for one in status(stage)["fleets"]), process="up", pause=0.2
    )


def applied(stage: Stage, host: Host) -> bool:
    """Return whether a host has applied the newest release of each of its fleets."""
    if " start " not in stage.log(host.name):
        return False  # it has no status to show yet
    wanted = {f"{fleet['tenant']}/{fleet['name']}": fleet["digest"] for fleet in status(stage)["fleets"]}
    fleets = stage.read(f"ordain-agent status --state {host.state} --format json")["fleets"]
    done = {
        fleet["fleet"]
        for fleet in fleets
        if fleet["result"] == "applied" and fleet["digest"] == wanted.get(f"{host.tenant}/{fleet['fleet']}")
    }
    return done == host.fleets


def running(stage: Stage, hosts: Sequence[Host], before: Mapping[Host, int]) -> dict[Host, int]:
    """Wait until the collector runs on each of these hosts as another process than before, and return their numbers."""
    found: dict[Host, int] = {}

    def everywhere() -> bool:
        for host in hosts:
            for one in stage.read(f"ordain-agent status --state {host.state} --format json")["processes"]:
                if one["standing"] == "running" and one["pid"] != before[host]:
                    found[host] = one["pid"]
        return len(found) == len(hosts)

    stage.until(f"the collector runs on {', '.join(host.name for host in hosts)}", everywhere, process=hosts[0].name, pause=0.2)
    return found


def queue_of(stage: Stage, host: Host) -> str:
    """Return the line of the collector's configuration that was changed, as it lies on a host."""
    lines = (stage.directory / host.root / COLLECTOR).read_text().splitlines()
    return next(line.strip() for line in lines if "queue_size" in line)


def stop_processes(stage: Stage) -> None:
    """Stop what the hosts run: it outlives its agents, as it should."""
    for host in HOSTS:
        directory = stage.directory / host.state / "processes"
        if directory.exists():
            supervise(directory, host=Root(stage.directory / host.root), log=Log(stream=io.StringIO())).close(leave_running=False)


def arrive(stage: Stage, text: str, committed: float) -> None:
    """Wait until a text stands in sshd's configuration on each host, and say how long after the commit that was."""
    places = {host: stage.directory / host.root / SSHD for host in HOSTS}
    seconds: dict[Host, float] = {}

    def everywhere() -> bool:
        for host in HOSTS:
            if host not in seconds and text in places[host].read_text():
                seconds[host] = time.monotonic() - committed
        return len(seconds) == len(HOSTS)

    stage.until(f"{text} on each host", everywhere, process="up", pause=0.005)
    for host in HOSTS:
        stage.say(f"    {host.name:13} has `{text}` {seconds[host]:.2f} s after the commit")
    stage.say("")


def digests(stage: Stage) -> list[str]:
    """Return the digest of all that is on each host."""
    return [digest(stage.directory / host.root) for host in HOSTS]


def require_frozen(stage: Stage, wanted: set[str]) -> None:
    """Fail unless exactly these fleets stand still, each with a reason."""
    fleets = status(stage)["fleets"]
    frozen = {f"{fleet['tenant']}/{fleet['name']}" for fleet in fleets if fleet["frozen"] and fleet["why"]}
    if frozen != wanted:
        stage.fail(f"frozen are {sorted(frozen)}, expected {sorted(wanted)}", "up")


def require_polls(stage: Stage) -> None:
    """Wait until each agent has asked the server again."""

    def contact(host: Host) -> str:
        return str(stage.read(f"ordain-agent status --state {host.state} --format json")["lastContact"])

    earlier = {host: contact(host) for host in HOSTS}
    for host in HOSTS:
        stage.until(f"{host.name} polled", lambda host=host: contact(host) > earlier[host], process=host.name)  # type: ignore[misc]


# Running it


def tell(stage: Stage) -> None:
    """Tell the story from its beginning to its end; raise `FailedError` where it does not hold."""
    for part in STORY:
        part(stage)


def keep(stage: Stage) -> None:
    """Say what is left running, and how to end it."""
    pids = stage.running()
    stage.say(f"\nEverything goes on running in {stage.directory}:\n")
    stage.say(f"    health, metrics           {address(stage, LOCAL)}  (/healthz, /readyz, /metrics)")
    stage.say(f"    agents, operators         {address(stage, AGENTS)}  (mutual TLS; on this machine, commands get in by --state state)")
    stage.say("    fleet repository          fleets/    commit there, and watch hosts/ follow")
    stage.say("    hosts                     " + "  ".join(str(host.root) for host in HOSTS))
    stage.say("    logs                      logs/")
    stage.say(f"\n    cd {stage.directory}; {BIN}/ordain status --state state")
    stage.say(f"\nEnd it with:  kill {' '.join(map(str, pids.values()))}; rm -r {stage.directory}")


def main() -> int:
    """Run the demo and return its exit code."""
    options = argparse.ArgumentParser(description="Watch a commit reach three agents, and a bad one be refused.")
    options.add_argument("--keep", action="store_true", help="leave everything running, and say where")
    wanted = options.parse_args()
    stop_on_signals()
    stage = Stage()
    kept = False
    try:
        tell(stage)
        if wanted.keep:
            keep(stage)
            kept = True
    except FailedError as failure:
        print(f"\nThe demo failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    else:
        stage.say("\nThat was it. To look around in it: make demo KEEP=1" if not kept else "")
        return 0
    finally:
        if not kept:
            stage.end(lambda: stop_processes(stage))


if __name__ == "__main__":
    sys.exit(main())
