"""Files that never change are read once for all agents, and those that change are read whenever somebody asks."""

import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.control.api.application import application
from reconciler.control.api.kept import KeptFiles
from reconciler.publication.store import LocalStore
from tests.publication_cases import make_zone, serving


@dataclass(frozen=True, slots=True)
class Counting(LocalStore):
    """A store that counts what is read of it."""

    reads: Counter[str] = field(default_factory=Counter)

    def get(self, key: str) -> bytes | None:
        self.reads[key] += 1
        return LocalStore.get(self, key)


def test_many_agents_read_a_release_once_and_see_each_new_timestamp(tmp_path: Path) -> None:
    zone = make_zone(tmp_path)
    zone.write_controls()
    zone.approve("one")
    zone.publish()
    store = Counting(tmp_path / "store")
    with serving(application(store, with_files=True)) as url:
        place = f"{url}/v1/repositories/shop/web/metadata"

        def fetch(name: str) -> bytes:
            with urllib.request.urlopen(f"{place}/{name}", timeout=30) as answer:
                return bytes(answer.read())

        with ThreadPoolExecutor(max_workers=16) as agents:
            assert len(set(agents.map(fetch, ["1.snapshot.json"] * 100))) == 1
        assert store.reads["public/shop/web/metadata/1.snapshot.json"] <= 8
        before = fetch("timestamp.json")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch("2.snapshot.json")
        zone.approve("two")
        zone.publish()
        assert fetch("timestamp.json") != before
        assert fetch("2.snapshot.json") != fetch("1.snapshot.json")


def test_what_is_kept_stays_within_its_bound_and_the_least_used_goes_first() -> None:
    kept = KeptFiles(most=30, largest=10)
    for name in ("a", "b", "c"):
        kept.keep(name, bytes(10))
    assert kept.get("a") == bytes(10)
    kept.keep("d", bytes(10))
    assert [kept.get(name) is not None for name in "abcd"] == [True, False, True, True]
    kept.keep("large", bytes(11))
    assert kept.get("large") is None
    assert kept.get("a") is not None
