"""The services of one host, brought to what a release says, and what they have read noted."""

from collections.abc import Collection, Iterable
from pathlib import Path

from agent.host import Host
from agent.protocol.state import Service
from agent.services.seen import Seen
from agent.services.steps import Step
from agent.services.systemd import Systemd


class Services:
    """Looking, comparing and mending; `record` is the file in which is noted what units have read.

    For effects: `require_supported` and `adopt` before the transaction, then `reload_manager`, then `plan` and `bring` for each service
    in the order of `after`. All of it is convergent: done twice, the second does nothing.
    """

    def __init__(self, *, host: Host, record: Path, systemd: Systemd | None = None) -> None: ...

    def require_supported(self, services: Collection[Service]) -> None:
        """Refuse services that this host can't have: no systemd here, or one that contradicts itself.

        Raises:
            RefusedError: naming what, and what to do.
        """
        raise NotImplementedError

    def adopt(self, services: Iterable[Service]) -> None:
        """Before a switch: note that units which run now, and are not known yet, have read what stands at their paths now."""
        raise NotImplementedError

    def reload_manager(self, services: Iterable[Service]) -> bool:
        """Have systemd read its unit files anew if one of these services' changed since it last did; return whether it did."""
        raise NotImplementedError

    def look(self, services: Iterable[Service]) -> dict[str, Seen]:
        """Return unit → what systemd says of it, in one call."""
        raise NotImplementedError

    def plan(self, service: Service, seen: Seen) -> list[Step]:
        """Return what would be done for one service; nothing is changed."""
        raise NotImplementedError

    def bring(self, service: Service, seen: Seen) -> list[Step]:
        """Carry out the plan of one service and note what it has read; return what was done.

        Raises:
            RetryError: a step failed; those before it were done, and nothing is noted.
        """
        raise NotImplementedError

    def retire(self, units: Iterable[str]) -> list[Step]:
        """Stop and disable units that no release names any more, in this order, and forget what they had read; return what was done.

        Before the transaction removes their files: systemd needs those to know how to stop them.
        """
        raise NotImplementedError
