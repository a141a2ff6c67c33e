"""What a server says of hosts now, asked as an operator, for plans."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from reconciler.cli.connection import Server
from reconciler.pipeline.plan.live import LiveHost, Standing

DETAILS_LIMIT = 200
"""Hosts that are asked about one by one, for all fleets together: each question takes some milliseconds."""


class LiveFacts:
    """Answers `pipeline.plan.live.Asked`; each tenant's list is fetched once."""

    def __init__(self, server: Server) -> None:
        """Ask `server`, nothing yet."""
        self._server = server
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._left = DETAILS_LIMIT

    def __call__(self, tenant: str, members: Sequence[str]) -> list[LiveHost]:
        """Return the hosts of a tenant that are these members of git.

        Raises:
            RefusedError: the operator may not see them.
            RetryError: the server can't be reached.
        """
        if tenant not in self._rows:
            self._rows[tenant] = self._server.pages("/api/v1/agents", "agents", query={"tenant": tenant})
        wanted = set(members)
        return [self._host(tenant, row) for row in self._rows[tenant] if row["agent"].partition("/")[0] in wanted]

    def _host(self, tenant: str, row: Mapping[str, Any]) -> LiveHost:
        member = row["agent"].partition("/")[0]
        presence = row["presence"] or ("online" if row["lastSeen"] else "")  # heard of, and nobody has looked since
        plain = {"name": row["agent"], "member": member, "state": row["state"], "presence": presence, "version": row["version"]}
        if self._left <= 0 or row["state"] in ("revoked", "decommissioned"):
            return LiveHost(**plain)
        self._left -= 1
        shown = self._server.ask("GET", agent_path(tenant, row["agent"]))
        return LiveHost(**plain, platform=str(shown["facts"].get("platform", "")), standing=standings(shown["standing"]), detailed=True)


def agent_path(tenant: str, agent: str) -> str:
    """Return the path of one agent in the API; of a pool's it names pool and id."""
    pool, _, member = agent.partition("/")
    return f"/api/v1/agents/{quote(tenant)}/{quote(pool)}" + (f"/members/{quote(member)}" if member else "")


def standings(rows: Iterable[Mapping[str, Any]]) -> dict[str, Standing]:
    """Return how fleets stand on a host, by their own names."""
    return {
        row["fleet"].rpartition("/")[2]: Standing(
            result=row["result"], digest=row["digest"], drift=row["drift"], held=row["held"], since=row["changedAt"]
        )
        for row in rows
    }
