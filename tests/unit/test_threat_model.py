"""What the documentation says of tests is so: each that it names exists, and each promise names one."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NAMED = re.compile(r"`(test_\w+?)(?:\[\w+\])?`")
DEFINED = re.compile(r"^def (test_\w+)\(", re.MULTILINE)
OF_THE_SUITE = {"test_download_with_hash_algorithms"}
"""Named by the page on conformance, and none of ours."""


def _tests() -> set[str]:
    return {name for path in (ROOT / "tests").rglob("test_*.py") for name in DEFINED.findall(path.read_text())}


@pytest.mark.parametrize("page", ["threat-model.md", "conformance.md"])
def test_every_test_that_a_page_names_exists(page: str) -> None:
    named = set(NAMED.findall((DOCS / page).read_text())) - OF_THE_SUITE
    assert len(named) > 2
    assert named - _tests() == set()


def test_every_promise_of_the_threat_model_names_a_test() -> None:
    lines = (DOCS / "threat-model.md").read_text().splitlines()
    promises = [line for line in lines if line.startswith("- ") and re.search(r"\bcan't\b", line[:60], re.IGNORECASE)]
    assert len(promises) > 30
    assert [line for line in promises if not NAMED.search(line)] == []


def test_every_test_of_the_suite_that_is_expected_to_fail_is_argued() -> None:
    listed = (ROOT / "tests/conformance/client.py.xfails").read_text().splitlines()
    page = (DOCS / "conformance.md").read_text()
    expected = [line for line in listed if line and not line.startswith("#")]
    assert expected
    assert [name for name in expected if f"`{name}`" not in page] == []
