"""A host as a repository knows it: what it was given, what it keeps between polls, and what it would apply."""

from dataclasses import dataclass
from pathlib import Path

from tuf.ngclient import Updater

from agent.fetching.fetcher import Http
from agent.following.repository import Repository
from agent.protocol.rollout import RolloutDocument
from tests.publication_cases import now


def updater(url: str, directory: Path, root: bytes, fleet: str = "web") -> Updater:
    """Return python-tuf's own client of a fleet of the tenant shop, which keeps what it reads in a directory."""
    directory.mkdir(exist_ok=True, parents=True)
    base = f"{url}/v1/repositories/shop/{fleet}"
    return Updater(str(directory), f"{base}/metadata/", str(directory), f"{base}/targets/", bootstrap=root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host that was given root 1, once, and what it keeps between polls."""

    root: bytes
    directory: Path
    url: str
    fleet: str = "web"

    def poll(self) -> tuple[RolloutDocument, Repository]:
        """Read the repository as the agent does."""
        repository = Repository(
            fleet=self.fleet,
            tenant="shop",
            server=self.url,
            directory=self.directory / self.fleet / "agent",
            cache=self.directory / self.fleet / "cache",
            http=Http(),
            bootstrap=self.root,
        )
        return repository.refresh(now()), repository

    def takes(self) -> str:
        """Return the content that this host would apply."""
        document, repository = self.poll()
        assert document.stable is not None
        assert repository.member(document.stable.members, "web-01") is not None
        return repository.bundle(document.stable.digest).groups["all"].base.files[0].content or ""

    def tuf(self) -> Updater:
        """Return python-tuf's own client for this host."""
        return updater(self.url, self.directory / self.fleet / "tuf", self.root, self.fleet)
