"""One installation for all quick tests with hosts that enrol: starting one takes longer than most of them."""

from collections.abc import Iterator

import pytest

from tests.acceptance_cases import repository
from tests.e2e.enrolled import Site


@pytest.fixture(scope="session")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give an installation that has published; who uses it is of `xdist_group("site")`, and leaves the others' hosts alone."""
    made = Site(tmp_path_factory.mktemp("site"))
    head = made.commit(repository())
    made.up()
    made.examined(head)
    yield made
    made.stop()
