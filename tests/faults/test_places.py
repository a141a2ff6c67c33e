"""Every named place is listed where it stands, and passed on the way from a commit to a host."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests import archive_cases
from tests.acceptance_cases import component, fleet, repository
from tests.e2e.installation import Installation
from tests.faults import places, words


def test_every_place_in_the_code_is_listed_once_by_the_module_that_has_it() -> None:
    listed = places.listed()
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == places.passed()
    assert len(listed) > 40


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.stop()


def unpacked(installation: Installation, word: str) -> str:
    archive = installation.state.parent / f"{word}.tar.gz"
    archive.write_bytes(archive_cases.release(word, "tar.gz"))
    return component("motd", "/etc/motd", word) + f"    - path: /etc/{word}\n      content: x\n" + words.artifact("/opt/tool", archive)


@pytest.mark.needs("opa", "git")
def test_every_place_is_passed_between_a_commit_and_a_host(installation: Installation, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    environment: Mapping[str, str] = {**os.environ, "ORDAIN_FAULT_TRACE": str(trace)}
    manifests = repository() | {
        "ordain.yaml": words.with_local_artifacts(),
        "tenants/shop/fleets/web.yaml": fleet("web", "motd", role="web"),
    }
    head = installation.commit(manifests | {"tenants/shop/components/motd.yaml": unpacked(installation, "one")})
    installation.up(environment=environment)
    installation.examined(head)
    assert installation.once("web-01", environment=environment).returncode == 0
    head = installation.commit({"tenants/shop/components/motd.yaml": unpacked(installation, "two")})
    installation.examined(head)
    assert installation.once("web-01", fault="agent:before-commit").returncode < 0
    assert installation.once("web-01", environment=environment).returncode == 0
    assert installation.content("web-01", "/etc/motd") == "two"
    installation.down()
    passed = set(trace.read_text().split())
    assert passed - set(places.listed()) == set()
    assert set(places.on_the_way()) - passed == set()
