"""Controls: what the control zone must know from git, signed by the pipeline, one file a tenant.

Never in a bundle: none of it reaches a host. Percentages and other non-integers stay the strings of the manifests.
"""

from typing import Any, Literal

from agent.protocol.state import Struct

FORMAT = 1
PAYLOAD_TYPE = "application/vnd.ordain.controls+json"


class Agent(Struct):
    """A named host: its labels, and the fleets that it is in, by their own names."""

    labels: dict[str, str] = {}
    fleets: list[str] = []


class Pool(Struct):
    """An agent pool: `lease` is a duration (`2h`), `maximum` how many hosts it may have."""

    labels: dict[str, str] = {}
    lease: str = ""
    maximum: int = 0
    fleets: list[str] = []


class Mode(Struct):
    """A mode that may be switched on, for `at_most` (a duration)."""

    name: str
    at_most: str


class Fleet(Struct):
    """How one fleet is rolled out, and how it stands: `freshness` in seconds, `since` RFC 3339 in UTC."""

    freshness: int
    drift: Literal["enforce", "report"] = "enforce"
    rollout: dict[str, Any] = {}
    modes: list[Mode] = []
    objectives: dict[str, Any] = {}
    critical: bool = False
    state: Literal["ok", "frozen", "waiting"] = "ok"
    why: str = ""
    since: str = ""


class Reporting(Struct):
    """How often agents report, and when one counts as lost: durations."""

    every: str = "60s"
    lost_after: str = "5m"


class Controls(Struct):
    """`approved/<tenant>/controls.json`; `head` and `decision` are those that last changed it."""

    format: int = FORMAT
    tenant: str
    sequence: int = 0
    expires: str = ""
    head: str = ""
    decision: int = 0
    agents: dict[str, Agent] = {}
    pools: dict[str, Pool] = {}
    fleets: dict[str, Fleet] = {}
    freezes: list[dict[str, Any]] = []
    quotas: dict[str, Any] = {}
    reporting: Reporting = Reporting()
    roles: list[dict[str, Any]] = []
