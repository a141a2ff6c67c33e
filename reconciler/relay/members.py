"""Who is in the fleets that a relay carries, from what is signed: its own copies, verified once more from the root on.

That a copy has expired is no matter here: hosts decide that by their own clocks, and go on being answered while the uplink is away.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import Timestamp

from agent.protocol import membership, rollout
from agent.protocol.errors import OrdainError, RefusedError
from reconciler.publication import layout, metadata
from reconciler.publication.client import Client
from reconciler.publication.releases import fleet_name
from reconciler.publication.store import Store

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""The time at which copies are looked at: nothing has expired then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Whom a fleet's copy lists, in the stable release and in the candidate; `version` is that of its timestamp."""

    version: int
    agents: frozenset[str]
    pools: frozenset[str]


def read_listed(store: Store, tenant: str, fleet: str, *, root: bytes) -> Listed | None:
    """Return whom a copy lists, None where nothing is copied yet; `root` is the trusted root metadata.

    Raises:
        RefusedError: the copy is not what was signed; it is to be made anew.
    """
    data = store.get(layout.metadata(tenant, fleet, "timestamp.json"))
    if data is None:
        return None
    name = fleet_name(tenant, fleet)
    try:
        client = Client(store.get, fleet=name, root=root, now=LONG_AGO, standing={})
        client.refresh()
        agents, pools = _listed(client, fleet, name)
    except (RepositoryError, DownloadError) as error:
        cause = error.__cause__
        message = f"{name}: the copy can't be verified: {cause if isinstance(cause, OrdainError) else error}"
        raise RefusedError(message) from error
    version = metadata.load(data, Timestamp, what=f"timestamp of {name}").signed.version
    return Listed(version=version, agents=agents, pools=pools)


def _listed(client: Client, fleet: str, name: str) -> tuple[frozenset[str], frozenset[str]]:
    document = rollout.decode(client.download(rollout.target(fleet)), fleet=name)
    agents: set[str] = set()
    pools: set[str] = set()
    for sequence in {release.members for release in (document.stable, document.candidate) if release is not None}:
        members = membership.decode(client.download(membership.target(sequence)), fleet=name, sequence=sequence)
        agents.update(members.agents)
        pools.update(members.pools)
        for digest in set(members.shards.digests.values()) if members.shards else ():
            shard = membership.decode_shard(client.download(membership.shard_target(digest)), fleet=name, digest=digest)
            agents.update(shard.agents)
    return frozenset(agents), frozenset(pools)
