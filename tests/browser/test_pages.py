"""`plan --format html` and `report compliance --format html` in a real browser: shown without an error, and nothing is fetched."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli.planned import render
from reconciler.opa.program import find_opa
from tests.backtest_cases import told
from tests.browser.browser import OWN, PAGE, show
from tests.compliance_cases import SINCE, compliance
from tests.conftest import part
from tests.plan_cases import branched, planned

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium", "git", "opa"), pytest.mark.timeout(900)]
NARROW = 500
"""The narrowest window that Chromium makes; a little more than a telephone."""
MEASURE = "<script>document.title = `${document.documentElement.scrollWidth} of ${innerWidth}`</script>"
PARTED = re.compile(r"<title>(\d+) of (\d+)</title>")


def chromium() -> Path:
    """Return the browser, which the mark has seen to."""
    found = part("chromium")
    assert found is not None
    return found


def plan(directory: Path) -> str:
    """Return the page of a plan with most of what one can hold."""
    return render(planned(branched(directory / "fleets"), find_opa(None), head="topic"), "html")


def report(directory: Path) -> str:
    """Return the page of a compliance report with charts, waivers and findings."""
    return compliance(told(directory / "fleets").root, *SINCE, "--format", "html").stdout


PAGES: dict[str, Callable[[Path], str]] = {"plan": plan, "report": report}


@pytest.fixture(scope="module", params=PAGES)
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return PAGES[request.param](tmp_path_factory.mktemp("page"))


def test_a_browser_shows_the_page_without_a_word_on_its_console_and_fetches_nothing_else(page: str) -> None:
    seen = show(chromium(), page)
    assert seen.console == []
    assert seen.requests == [f"GET {PAGE}"]
    assert not OWN.search(page)
    heading = re.search(r"<h1>.*?</h1>", page)
    assert heading is not None
    assert heading[0] in seen.dom


def test_nothing_but_its_tables_is_wider_than_a_narrow_window(page: str) -> None:
    measured = PARTED.search(show(chromium(), page.replace("default-src 'none'; ", "") + MEASURE, width=NARROW).dom)
    assert measured is not None
    assert int(measured[1]) <= int(measured[2])


def test_a_page_that_fetches_or_fails_is_seen_to() -> None:
    seen = show(chromium(), "<!doctype html><img src='http://elsewhere.example/a.png'><script>throw new Error('broken')</script>")
    assert "GET http://elsewhere.example/a.png" in seen.requests
    assert any("broken" in line for line in seen.console)
    wide = show(chromium(), f"<!doctype html><div style='width: 3000px'>wide</div>{MEASURE}", width=NARROW)
    measured = PARTED.search(wide.dom)
    assert measured is not None
    assert int(measured[1]) > int(measured[2])
