"""What the control zone must know of a tenant from git, as plain values: it reads no manifests.

Durations become seconds, percentages and windows stay as they are written: what TUF and DSSE sign holds no floats.
"""

from collections.abc import Collection, Mapping
from typing import Any

from agent.protocol import duration
from agent.protocol.errors import MalformedError
from reconciler.pipeline.compile import manifest, tenancy
from reconciler.pipeline.compile.affected import fleets_selecting
from reconciler.pipeline.compile.index import FLEET, FREEZE, MEMBER, ROLE, TENANT, Index
from reconciler.pipeline.compile.world import World
from reconciler.pipeline.manifests import Document

FRESHNESS = 24 * 3600
"""Seconds for which agents trust what they have, where a fleet doesn't say."""
POOL_LEASE = 24 * 3600
"""Seconds for which a pool's agent keeps its place without being heard of, where the pool doesn't say."""
REPORT_EVERY = 60
LOST_AFTER = 300
"""Seconds between reports, and without one until an agent counts as lost, where nobody says."""
SPACES = (MEMBER, FLEET, FREEZE, TENANT, ROLE)
"""What controls are made of: a commit that only touches components leaves them as they are."""
HOW = (FLEET, FREEZE)
"""What says how releases go out: a release goes by what its own commit says of that."""
DURATIONS = frozenset({"soak", "reportTimeout", "duration", "window"})
"""Fields of rollouts and objectives that hold a duration."""
LIMITS = frozenset({"max", "min"})
"""Fields of metrics that hold a number of any kind."""


def controls_of(world: World, tenant: str) -> dict[str, Any]:
    """Return the git half of a tenant's controls: agents, pools, fleets, freezes, quotas, reporting, retention, roles.

    `{"agents": {name: {labels, fleets, reimage?, relay?, relayNames?, platforms?, reporting?}}, "pools": {name: {labels, lease, maximum,
    fleets, platforms?, reporting?}}, "fleets": {name: {freshness, drift, rollout, modes: [{name, atMost}], objectives}},
    "freezes": [{name, fleets, reason, owner, from, until}], "quotas": {agents?, …}, "reporting": {every, lostAfter, …},
    "retention": {receipts?, …}, "trustDomain": …, "roles": [{name, role, subjects, fleets?, until?}]}`; durations are whole seconds,
    quantities bytes. All of it is what the manifests say: whether a fleet is frozen or waiting is for acceptance to add.
    """
    index = world.tenant(tenant)
    fleets = _Fleets(index)
    members = sorted(index.documents(MEMBER), key=lambda document: document.name.name if document.name else "")
    stated = index.get(TENANT, tenant)
    spec = stated.spec if stated is not None else {}
    return {
        "agents": {_name(one): _agent(fleets, one) for one in members if one.kind == "Agent"},
        "pools": {_name(one): _pool(fleets, one) for one in members if one.kind == "AgentPool"},
        "fleets": {name: fleet_controls(found[0]) for name, found in sorted(index.of(FLEET).items())},
        "freezes": [{"name": name, **_plain(found[0].spec, "description")} for name, found in sorted(index.of(FREEZE).items())],
        "quotas": tenancy.quotas(spec),
        "reporting": reporting_of(spec.get("reporting")),
        "retention": {name: _seconds(span, 0) for name, span in manifest.mapping(spec.get("retention")).items()},
        "trustDomain": manifest.text(spec.get("trustDomain")),
        "roles": [_role(name, found[0]) for name, found in sorted(index.of(ROLE).items())],
    }


def unchanged(before: World, after: World, tenant: str, spaces: Collection[str] = SPACES) -> bool:
    """Return whether a tenant's controls are certain to be the same in two worlds, one derived from the other, as far as these go."""
    old, new = before.tenant(tenant).claims, after.tenant(tenant).claims
    return all(old.get(space) is new.get(space) for space in spaces)


def freshness_of(fleet: Document) -> int:
    """Return the seconds for which a fleet's agents trust what they have."""
    return _seconds(fleet.spec.get("freshness"), FRESHNESS)


def _name(document: Document) -> str:
    return document.name.name if document.name is not None else ""


class _Fleets:
    """Which fleets select a member, looked up once for each distinct set of values that selectors look at."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._keys = sorted({key for fleet in index.documents(FLEET) for key in manifest.selector(fleet)})
        self._known: dict[tuple[str | None, ...], list[str]] = {}

    def of(self, labels: Mapping[str, str]) -> list[str]:
        values = tuple(labels.get(key) for key in self._keys)
        if values not in self._known:
            seen = {key: value for key, value in zip(self._keys, values, strict=True) if value is not None}
            self._known[values] = sorted(fleets_selecting(self._index, seen))
        return list(self._known[values])


def _agent(fleets: _Fleets, document: Document) -> dict[str, Any]:
    spec = document.spec
    controls: dict[str, Any] = _member(fleets, document)
    if manifest.mapping(spec.get("enrolment")).get("reimage") == "allowed":
        controls["reimage"] = True
    relayed, names = manifest.relayed(document), manifest.relay_names(document)
    return {**controls, **({"relay": relayed} if relayed else {}), **({"relayNames": names} if names else {})}


def _pool(fleets: _Fleets, document: Document) -> dict[str, Any]:
    maximum = document.spec.get("maximum")
    lease = _seconds(document.spec.get("lease"), POOL_LEASE)
    return {**_member(fleets, document), "lease": lease, "maximum": maximum if isinstance(maximum, int) else 0}


def _member(fleets: _Fleets, document: Document) -> dict[str, Any]:
    """Return what agents and pools have in common; what a manifest leaves out is left out here too."""
    labels, spec = manifest.labels(document), document.spec
    controls: dict[str, Any] = {"labels": labels, "fleets": fleets.of(labels)}
    platforms = manifest.sequence(manifest.mapping(spec.get("enrolment")).get("platforms"))
    if platforms:
        controls["platforms"] = [dict(one) for one in platforms if isinstance(one, dict)]
    return {**controls, "reporting": reporting_of(spec["reporting"])} if "reporting" in spec else controls


def _role(name: str, document: Document) -> dict[str, Any]:
    spec = document.spec
    named = {field: sorted(one for one in manifest.sequence(spec.get(field)) if isinstance(one, str)) for field in ("subjects", "fleets")}
    until = {"until": spec["until"]} if "until" in spec else {}
    return {"name": name, "role": spec.get("role"), **named, **until}


def fleet_controls(document: Document) -> dict[str, Any]:
    """Return what controls say of one fleet, as `controls_of` has it."""
    spec = document.spec
    controls: dict[str, Any] = {
        "freshness": freshness_of(document),
        "drift": "report" if spec.get("drift") == "report" else "enforce",
        "rollout": _in_seconds(manifest.mapping(spec.get("rollout"))),
        "modes": [{"name": mode.name, "atMost": _seconds(mode.at_most, 0)} for mode in manifest.modes(document)],
        "objectives": _in_seconds(manifest.mapping(spec.get("objectives"))),
    }
    return controls


def reporting_of(block: object) -> dict[str, Any]:
    """Return how agents report by a block `reporting` of a manifest; what it leaves out is as the schema's defaults say."""
    stated = manifest.mapping(block)
    times = {"every": _seconds(stated.get("every"), REPORT_EVERY), "lostAfter": _seconds(stated.get("lostAfter"), LOST_AFTER)}
    more: dict[str, Any] = {"tolerance": stated["tolerance"]} if "tolerance" in stated else {}
    if "windows" in stated:
        more["windows"] = _in_seconds(stated["windows"])
    if "bytesPerDay" in stated:
        more["bytesPerDay"] = tenancy.size(stated["bytesPerDay"])
    return {**times, **more}


def _seconds(value: object, default: int) -> int:
    try:
        return duration.seconds(value) if isinstance(value, str) else default
    except MalformedError:
        return default


def _in_seconds(value: Any, field: str = "") -> Any:
    """Return plain values in which each duration is whole seconds, and each limit of a metric text: what is signed holds no floats."""
    if isinstance(value, dict):
        return {key: _in_seconds(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_seconds(item) for item in value]
    if field in LIMITS:
        return str(value)
    return _seconds(value, 0) if field in DURATIONS else value


def _plain(spec: Mapping[str, Any], *left_out: str) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key not in left_out}
