"""Fleets whose releases go out in waves, and what of that is waited for: shared by the tests of rollouts with real processes."""

from collections.abc import Mapping

from tests.acceptance_cases import REPOSITORY, agent, component, fleet, tenant
from tests.e2e.enrolled import Site
from tests.e2e.installation import until

FLEET, MOTD = "tenants/shop/fleets/web.yaml", "tenants/shop/components/motd.yaml"
CANARY = '{name: canary, matchLabels: {canary: "true"}, soak: 0s}'
REST = "{name: rest, limit: 100%, soak: 0s}"
STRICT = "{successThreshold: 100%, quorum: 100%, reportTimeout: 5m}"


def strategy(*waves: str, health: str = STRICT, more: str = "") -> str:
    """Return the lines of a Fleet about its waves; without any, those with the label `canary` go first, and then all."""
    steps = "".join(f"      - {wave}\n" for wave in waves or (CANARY, REST))
    return f"  rollout:\n    waves:\n{steps}    health: {health}\n{more}"


def release(word: str, *probes: str) -> dict[str, str | None]:
    """Return the files of a commit that says a word on each host, with probes as a Component states them."""
    asked = "".join(f"    - {probe}\n" for probe in probes)
    return {MOTD: component("motd", "/etc/motd", word) + (f"  probes:\n{asked}" if probes else "")}


def fleet_of(hosts: Mapping[str, Mapping[str, str]], waves: str = "") -> dict[str, str]:
    """Return a repository with one fleet, of these hosts (name → labels beside its own), that goes by these lines about waves."""
    agents = {f"tenants/shop/agents/{name}.yaml": agent(name, role="web", **labels) for name, labels in hosts.items()}
    web = fleet("web", "motd", role="web") + (waves or strategy())
    return {"ordain.yaml": REPOSITORY, "tenants/shop/tenant.yaml": tenant("shop"), FLEET: web, **agents}


def settled(site: Site, commit: str, *hosts: str) -> None:
    """Wait until a commit's release is stable for everybody, and these hosts have told that they run it."""
    told = dict.fromkeys(hosts, commit)
    until(f"{', '.join(hosts)} run {commit[:12]}", lambda: site.commits(hosts) == told, log=site.agent_log(hosts[0]))
    until("their server knows", lambda: all(site.standing(f"shop/{host}") == ["applied"] for host in hosts), log=site.log)
    until("it is stable", lambda: site.rollout()["stableCommit"] == commit, log=site.log)


def taken_back(site: Site, commit: str, fleet: str = "shop/web") -> str:
    """Wait until a commit's release is taken back; return what `ordain rollout show` prints."""
    until(f"{commit[:12]} is taken back", lambda: site.rollout(fleet)["phase"] == "stopped", log=site.log)
    found = site.rollout(fleet)
    assert found["refusedCommit"] == commit
    reached = [one["why"] for one in found["events"] if (one["kind"], one["digest"]) == ("admitted", found["refused"])]
    assert not [why for why in reached if why.startswith("wave rest ")], "it went no further than its canaries"
    return site.typed("rollout", "show", fleet)
