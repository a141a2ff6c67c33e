"""A change of the judge takes old releases off the list: the pipeline's own loop, with real git and OPA."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.pipeline.loop import Progress
from reconciler.publication.releases import read_newest
from reconciler.publication.store import open_store
from reconciler.publication.trust import read_trust
from tests.acceptance_cases import repository
from tests.e2e.installation import Installation, until
from tests.pipeline_cases import following

pytestmark = pytest.mark.needs("opa", "git")
COMPONENT = "tenants/shop/components/motd.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A loop that follows a repository; nobody publishes, so only the desired release keeps its place."""

    installation: Installation
    progress: Progress

    def take(self, files: Mapping[str, str | None]) -> None:
        sha = self.installation.commit(files)
        until("examined", lambda: self.progress.examined == sha and self.progress.ready)

    def listed(self) -> list[str]:
        """Return the digests of fleet web that are listed, the desired one last."""
        store = open_store(str(self.installation.state / "store"))
        trust = read_trust(store, "shop")
        assert trust is not None
        found = read_newest(store, trust, "web")
        assert found is not None
        return [one.digest for one in sorted(found.approvals.values(), key=lambda one: one.sequence) if one.digest]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    installation = Installation(tmp_path)
    installation.commit(repository())
    with following(installation) as loop:
        yield Running(installation=installation, progress=loop.progress)


def test_a_change_of_the_judge_delists_what_it_did_not_judge_and_a_revert_brings_it_back(running: Running) -> None:
    files = repository()
    running.take({COMPONENT: files[COMPONENT].replace("content: ", "content: more ", 1)})
    first, second = running.listed()
    running.take({"README.md": "Nothing that judges.\n"})
    assert running.listed() == [first, second]
    stricter = files["ordain.yaml"].rstrip() + "\n"
    running.take({"ordain.yaml": stricter.replace("spec:", "spec:\n  rules: {hygiene/owner: {level: audit}}", 1)})
    assert running.listed() == [second]
    running.take({COMPONENT: files[COMPONENT]})
    assert running.listed()[-1] == first
