"""A fleet that stands still says since which commit: the pipeline's own loop, with real git and OPA."""

from pathlib import Path

import pytest

from reconciler.control.tenants import read_controls
from reconciler.publication.controls import Fleet
from reconciler.publication.store import open_store
from reconciler.publication.trust import read_trust
from tests.acceptance_cases import repository
from tests.e2e.installation import Installation, until
from tests.pipeline_cases import following

pytestmark = pytest.mark.needs("opa", "git")
COMPONENT = "tenants/shop/components/motd.yaml"


def stands(installation: Installation) -> Fleet:
    """How fleet web stands by its tenant's controls."""
    store = open_store(str(installation.state / "store"))
    trust = read_trust(store, "shop")
    assert trust is not None
    found = read_controls(store, trust)
    assert found is not None
    return found.fleets["web"]


def test_controls_name_the_commit_that_was_refused_until_one_is_let_through(tmp_path: Path) -> None:
    installation, files = Installation(tmp_path), repository()
    installation.commit(files)
    with following(installation) as loop:

        def take(path: str, text: str) -> str:
            sha = installation.commit({path: text})
            until("examined", lambda: loop.progress.examined == sha and loop.progress.ready)
            return sha

        assert (stands(installation).state, stands(installation).commit) == ("ok", "")
        refused = take(COMPONENT, "kind: [")
        take("README.md", "Nothing that changes why.\n")
        assert (stands(installation).state, stands(installation).commit) == ("frozen", refused)
        again = take(COMPONENT, "kind: [  # another try, refused in the same words")
        assert (stands(installation).state, stands(installation).commit) == ("frozen", again)
        take(COMPONENT, files[COMPONENT])
        assert (stands(installation).state, stands(installation).commit) == ("ok", "")
