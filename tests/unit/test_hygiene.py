"""What no reviewer should have to look for: traces of build machines, overgrown files, modules without a subject."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 500
SUBJECTLESS = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}

# One letter of each stands in brackets, so that this file does not hold what it looks for.
REGISTRIES = (
    r"\bpyp[i]\.org\b",
    r"\bpyp[i]\.python\.org\b",
    r"\bpythonhoste[d]\.org\b",
    r"\bregistry\.npmj[s]\.",
    r"\bproxy\.golan[g]\.org\b",
    r"\bsum\.golan[g]\.org\b",
    r"\bcrate[s]\.io\b",
)
MACHINE_PATHS = (
    r"(?<![\w.])/wor[k]/",
    r"(?<![\w.])/tmp/[b]/",
    r"/opt/wheel[s]",
    r"/roo[t]/(\.cache|\.pyenv|\.cargo|go)\b",
    r"/hom[e]/(runner|ubuntu|vscode)\b",
    r"/User[s]/\w+",
)
TRACES = re.compile("|".join((*REGISTRIES, *MACHINE_PATHS)))


def _committed(*directories: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", "--", *directories], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def _traces(text: str) -> list[tuple[int, str]]:
    return [(number, found[0]) for number, line in enumerate(text.splitlines(), 1) if (found := TRACES.search(line))]


@pytest.mark.needs("git")
def test_no_committed_file_names_a_package_registry_or_a_path_of_a_build_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {trace}"
        for path in _committed()
        for line, trace in _traces(path.read_bytes().decode(errors="replace"))
    ]
    assert found == []


@pytest.mark.parametrize("halves", [("//pyp", "i.org/simple"), ("=/opt/", "wheels"), ("cd '/wor", "k/main'"), ("=proxy.golan", "g.org")])
def test_the_search_for_traces_finds_one_in_a_line_that_has_it(halves: tuple[str, str]) -> None:
    assert _traces("".join(halves)) != []


@pytest.mark.parametrize("line", ["the network/work/queue", "https://example.com/work", "path: /etc/otelcol/config.yaml", "/tmp/backup"])
def test_the_search_for_traces_leaves_ordinary_text_alone(line: str) -> None:
    assert _traces(line) == []


@pytest.mark.needs("git")
def test_every_module_of_the_product_can_be_read_in_one_sitting() -> None:
    sources = [path for path in _committed("agent", "reconciler") if path.suffix == ".py"]
    assert sources
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


@pytest.mark.needs("git")
def test_every_module_is_named_after_its_subject() -> None:
    modules = [path for path in _committed("agent", "reconciler", "tests", "benchmarks") if path.suffix == ".py"]
    assert [str(path.relative_to(ROOT)) for path in modules if SUBJECTLESS & {path.stem, *path.relative_to(ROOT).parts[:-1]}] == []


@pytest.mark.no_cover
@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="without workers, a debugger may trace it")
def test_what_is_not_to_be_traced_is_not_traced_in_a_worker_either() -> None:
    assert sys.gettrace() is None
