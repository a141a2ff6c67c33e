"""Fleet repositories of any size: the same number and the same seed give the same bytes on any machine.

A manifest has about 30 lines, as people write them. Every tenant gets its share of fleets, of components (five for
each fleet) and of agents, so that a larger repository has more of all three and not only longer lists.
"""

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TENANTS = 10
"""Tenants of a repository of 1,000 manifests and more: so their size grows with it, which is the harder case."""
FEW_TENANTS = 2
COMPONENTS_OF_A_FLEET = 5
FLEETS_SHARE = 25
"""One manifest in so many is a fleet, five are its components, and the others are agents."""
REGIONS = ("eu", "us", "ap")
REPOSITORY = """\
apiVersion: ordain.dev/v1
kind: Repository
metadata:
  name: benchmark
spec:
  description: A generated repository
  format: 1
"""
_TENANT = """\
apiVersion: ordain.dev/v1
kind: Tenant
metadata:
  name: {tenant}
spec:
  description: Tenant {tenant} of a generated repository
"""
_AGENT = """\
apiVersion: ordain.dev/v1
kind: Agent
metadata:
  name: {name}
  tenant: {tenant}
  labels:
    role: {role}
    region: {region}
    zone: {region}-{zone}
    canary: "{canary}"
    owner: team-{team}
    environment: production
    rack: r{rack}
    row: row-{row}
    room: room-{room}
    power: {power}
    vendor: vendor-{team}
    model: m{zone}00
    serial: {serial}
    purchased: "2025-0{zone}-15"
    contract: c-{rack}
    service-hours: weekdays
    backup: nightly
    network: n{row}
    uplink: 10g
    cost-centre: cc-{team}
    ticket-queue: queue-{team}
spec:
  description: >-
    Host {name} of {tenant}, which stands in rack {rack}
    of room {room} and takes its turn in role {role}.
"""
_COMPONENT = """\
apiVersion: ordain.dev/v1
kind: Component
metadata:
  name: {name}
  tenant: {tenant}
  labels:
    owner: team-{team}
spec:
  description: Configuration of {name}, and where it sends what it sees
  parameters:
    sampling:
      type: number
      default: 0.05
    endpoint:
      type: string
      default: telemetry.example.com
{artifacts}  files:
    - path: /etc/{name}
      type: directory
      mode: "0750"
    - path: /etc/{name}/config.yaml
      mode: "0640"
      content: |
        # revision {revision}
        host: ${{agent.name}}
        region: ${{labels.region}}
        sampling: ${{parameters.sampling}}
        endpoint: ${{parameters.endpoint}}
        queue: 4096
        retries: 3
"""
_ARTIFACTS = """\
  probes:
    - name: {name}
      tcp: 127.0.0.1:13133
  artifacts:
    - name: {name}
      path: /opt/{name}
      mode: "0755"
      url: https://artifacts.example.com/{name}/1.4.2
      sha256: {digest}
"""
_FLEET = """\
apiVersion: ordain.dev/v1
kind: Fleet
metadata:
  name: {name}
  tenant: {tenant}
  labels:
    owner: team-{team}
spec:
  description: Hosts of role {role}
  selector:
    matchLabels:
      role: {role}
  components:
{components}  variants:
    - matchLabels: {{region: eu}}
      parameters: {{{first}: {{endpoint: telemetry.eu.example.com}}}}
    - matchLabels: {{region: us}}
      parameters: {{{first}: {{endpoint: telemetry.us.example.com}}}}
  modes:
    - name: incident
      parameters: {{{first}: {{sampling: 1}}}}
      atMost: 4h
  freshness: 24h
  rollout:
    waves:
      - {{name: canary, matchLabels: {{canary: "true"}}, soak: 10m}}
      - {{name: early, limit: 10%, soak: 30m}}
      - {{name: rest, limit: 100%}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a repository holds: `fleets` and `agents` in each tenant, five components for each fleet, and the Tenant manifest.

    `one_fleet` puts all agents into the first fleet. `artifacts` (and probes) lead nowhere, so leave them out where agents run.
    """

    tenants: int
    fleets: int
    agents: int
    one_fleet: bool = False
    artifacts: bool = True

    @property
    def manifests(self) -> int:
        """How many manifests that makes, `ordain.yaml` not counted."""
        return self.tenants * (1 + self.fleets * (1 + COMPONENTS_OF_A_FLEET) + self.agents)


def plan(manifests: int) -> Plan:
    """Return a plan of exactly so many manifests, or of a few less where they don't divide evenly."""
    tenants = TENANTS if manifests >= 1000 else FEW_TENANTS  # noqa: PLR2004 - see TENANTS
    each = manifests // tenants
    fleets = max(1, each // FLEETS_SHARE)
    return Plan(tenants=tenants, fleets=fleets, agents=each - 1 - fleets * (1 + COMPONENTS_OF_A_FLEET))


def manifests(planned: Plan) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of each file, in no order that matters."""
    yield "ordain.yaml", REPOSITORY
    for number in range(planned.tenants):
        tenant = f"tenant-{number:02d}"
        yield f"tenants/{tenant}/tenant.yaml", _TENANT.format(tenant=tenant)
        for fleet in range(planned.fleets):
            yield f"tenants/{tenant}/fleets/{fleet // 100}/{fleet_name(fleet)}.yaml", fleet_text(tenant, fleet)
            for part in range(COMPONENTS_OF_A_FLEET):
                name = component_name(fleet, part)
                path = component_path(tenant, fleet, part)
                yield path, component_text(tenant, name, artifacts=planned.artifacts)
        for agent in range(planned.agents):
            role = 0 if planned.one_fleet else agent % planned.fleets
            yield agent_path(tenant, agent), agent_text(tenant, agent, role)


def fleet_name(number: int) -> str:
    """Return the name of a fleet."""
    return f"fleet-{number:05d}"


def component_name(fleet: int, part: int) -> str:
    """Return the name of a component of a fleet."""
    return f"service-{fleet:05d}-{part}"


def component_path(tenant: str, fleet: int, part: int) -> str:
    """Return the file of a component of a fleet."""
    return f"tenants/{tenant}/components/{fleet // 100}/{component_name(fleet, part)}.yaml"


def agent_path(tenant: str, number: int) -> str:
    """Return the file of an agent: 100 lie in one directory, as people would keep them."""
    return f"tenants/{tenant}/agents/{number // 100}/host-{number:05d}.yaml"


def agent_text(tenant: str, number: int, role: int) -> str:
    """Return an Agent manifest."""
    digest = hashlib.sha256(f"{tenant}/{number}".encode()).hexdigest()
    return _AGENT.format(
        name=f"host-{number:05d}",
        tenant=tenant,
        role=f"role-{role:05d}",
        region=REGIONS[int(digest[0], 16) % len(REGIONS)],
        zone=1 + int(digest[1], 16) % 3,
        canary="true" if digest[2] == "0" else "false",
        team=int(digest[3], 16),
        rack=int(digest[4:6], 16),
        row=int(digest[6], 16),
        room=int(digest[7], 16) % 4,
        power="a" if digest[8] < "8" else "b",
        serial=f"s{digest[8:20]}",
    )


def component_text(tenant: str, name: str, *, revision: int = 0, artifacts: bool = True) -> str:
    """Return a Component manifest; another `revision` is another content of its file."""
    digest = hashlib.sha256(f"{tenant}/{name}".encode()).hexdigest()
    listed = _ARTIFACTS.format(name=name, digest=digest) if artifacts else ""
    return _COMPONENT.format(name=name, tenant=tenant, team=int(digest[0], 16), artifacts=listed, revision=revision)


def fleet_text(tenant: str, number: int) -> str:
    """Return a Fleet manifest: five components of its own, two variants, a mode and three waves."""
    names = [component_name(number, part) for part in range(COMPONENTS_OF_A_FLEET)]
    return _FLEET.format(
        name=fleet_name(number),
        tenant=tenant,
        team=number % 16,
        role=f"role-{number:05d}",
        components="".join(f"    - name: {name}\n" for name in names),
        first=names[0],
    )


def write(root: Path, files: Mapping[str, str]) -> None:
    """Write files below a directory."""
    for path, text in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def git(root: Path, *arguments: str) -> str:
    """Run git in a repository as nobody in particular, and return what it prints."""
    who = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost", "-c", "gc.auto=0"]
    done = subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(root: Path, files: Mapping[str, str]) -> str:
    """Write files into a repository and commit them; return the commit's sha."""
    if not (root / ".git").is_dir():
        root.mkdir(parents=True, exist_ok=True)
        git(root, "init", "--quiet", "--initial-branch", "main")
    write(root, files)
    git(root, "add", "--", *(files if len(files) < 100 else ["."]))  # noqa: PLR2004 - what fits on a command line
    git(root, "commit", "--quiet", "--message", "Change the fleet")
    return git(root, "rev-parse", "HEAD")
