"""Manifests as people of three teams would write them."""

import hashlib

from tests.history.people import Person

API = "apiVersion: ordain.dev/v1\n"
TEAMS = {"shop": "team-shop", "edge": "team-edge", "games": "team-games"}


def digest(what: str) -> str:
    """Return a SHA-256 that looks like one."""
    return hashlib.sha256(what.encode()).hexdigest()


def repository(*, rules: str = "", overrides: str = "", signed: bool = False) -> str:
    """Return `ordain.yaml` with lines of rules and overrides."""
    text = f"{API}kind: Repository\nmetadata: {{name: northgate}}\nspec:\n  description: All hosts of Northgate\n  format: 1\n"
    text += '  signatures: {required: true, coSigned: ["policies/**"]}\n' if signed else ""
    return text + (f"  rules:\n{rules}" if rules else "") + (f"  overrides:\n{overrides}" if overrides else "")


def tenant(name: str, what: str) -> str:
    """Return a Tenant."""
    return f"{API}kind: Tenant\nmetadata: {{name: {name}, labels: {{owner: {TEAMS[name]}}}}}\nspec:\n  description: {what}\n"


def agent(owner: str, name: str, **labels: str) -> str:
    """Return an Agent."""
    pairs = ", ".join(f'{key}: "{value}"' if value == "true" else f"{key}: {value}" for key, value in labels.items())
    return f"{API}kind: Agent\nmetadata:\n  name: {name}\n  tenant: {owner}\n  labels: {{{pairs}}}\nspec: {{}}\n"


def hosts(owner: str, names: list[str], **labels: str) -> dict[str, str | bytes | None]:
    """Return the files of agents: those with an odd number are in the EU, the others in the US, and the first is the canary."""
    made: dict[str, str | bytes | None] = {}
    for number, name in enumerate(names, start=1):
        more = {"region": "eu" if number % 2 else "us"} | ({"canary": "true"} if number == 1 else {})
        made[f"tenants/{owner}/agents/{name}.yaml"] = agent(owner, name, **labels, **more)
    return made


def component(owner: str, name: str, what: str, body: str) -> str:
    """Return a Component; `body` is what stands in its spec beside the description."""
    belongs = f"  tenant: {owner}\n  labels: {{owner: {TEAMS[owner]}}}\n" if owner else "  labels: {owner: team-platform}\n"
    return f"{API}kind: Component\nmetadata:\n  name: {name}\n{belongs}spec:\n  description: {what}\n{body}"


def file(path: str, content: str, mode: str = "0644") -> str:
    """Return one item of `files`."""
    lines = "".join(f"        {line}\n" for line in content.splitlines())
    return f'    - path: {path}\n      mode: "{mode}"\n      content: |\n{lines}'


def fleet(owner: str, name: str, what: str, selector: str, body: str) -> str:
    """Return a Fleet; `body` begins with its components."""
    begin = f"{API}kind: Fleet\nmetadata:\n  name: {name}\n  tenant: {owner}\n  labels: {{owner: {TEAMS[owner]}}}\nspec:\n"
    return f"{begin}  description: {what}\n  selector: {{matchLabels: {{{selector}}}}}\n  components:\n{body}"


def waiver(owner: str, name: str, rule: str, component: str, *, at: str = "", value: str = "", reason: str, by: str, ends: str) -> str:
    """Return a Waiver of a finding on a component; `ends` is a line: `expires: …`, or a `breakGlass`."""
    place = (f'  at: "{at}"\n' if at else "") + (f'  value: "{value}"\n' if value else "")
    what = f"  rule: {rule}\n  object: {{kind: Component, name: {component}}}\n{place}"
    return f"{API}kind: Waiver\nmetadata: {{name: {name}, tenant: {owner}}}\nspec:\n{what}  reason: {reason}\n  owner: {by}\n  {ends}\n"


def signer(who: Person, spec: str, owner: str = "", ends: str = "", more: str = "") -> str:
    """Return a Signer with one key, or with another one in the lines of `more`."""
    belongs = f", tenant: {owner}" if owner else ""
    until = f"      until: {ends}\n" if ends else ""
    return f"{API}kind: Signer\nmetadata: {{name: {who.name}{belongs}}}\nspec:\n{spec}  keys:\n    - ssh: {who.public}\n{until}{more}"


ROLLOUT = """\
  rollout:
    waves:
      - {name: canary, matchLabels: {canary: "true"}, soak: 15m}
      - {name: half, limit: 50%, soak: 30m}
      - {name: rest, limit: 100%}
"""
