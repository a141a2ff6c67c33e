"""What the README and the documentation say to type works, and prints what they say it prints.

A block that begins ```console test is run: lines that begin with `$ ` in one shell and one directory for each page, in order. What stands
below a command is what it must print on stdout; nothing there means that it isn't looked at. A line `…` stands for any lines, a `…` within
one for any text. A command that fails fails the test, unless the next one asks for `$?`. Ports 8420 and 8422 are
replaced by free ones.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import part

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PORTS = ("8420", "8422")
SECONDS = 300
BLOCK = re.compile(r"^( *)```console test\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
CODE = re.compile(r"^ *```.*?^ *```$|^    [^\n]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
AFTER = "\nended=$?; printf '\\0%s\\0' \"$ended\"; printf '\\0' >&2; (exit $ended)\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a page, and what it is said to print."""

    line: int
    text: str
    expected: str


def _pages() -> list[Path]:
    return sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands(text: str) -> Iterator[Command]:
    """Yield the commands of a page that are to be run, on a port that is free."""
    with ExitStack() as stack:
        for port in PORTS:
            free = stack.enter_context(socket.socket())
            free.bind(("127.0.0.1", 0))
            text = text.replace(port, str(free.getsockname()[1]))
    for block in BLOCK.finditer(text):
        first = text.count("\n", 0, block.start()) + 2
        lines = [line.removeprefix(block[1]) for line in block[2].splitlines()]
        starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            last = next(number for number in range(start, end) if not lines[number].endswith("\\"))
            typed = "\n".join(lines[start : last + 1]).removeprefix("$ ")
            yield Command(line=first + start, text=typed, expected="\n".join(lines[last + 1 : end]))


def prints(expected: str, printed: str) -> bool:
    """Return whether output is what a page says, `…` standing for anything."""
    shape = "".join(_shape(line) for line in expected.splitlines())
    return re.fullmatch(shape, printed if printed.endswith("\n") else printed + "\n") is not None


def _shape(line: str) -> str:
    return r"(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.rstrip().split("…"))) + r" *\n"


def _run(page: list[Command], directory: Path) -> tuple[list[tuple[str, int]], str]:
    """Run a page's commands in one shell; return what each printed and its exit code, and all of stderr."""
    script = "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n" + "".join(one.text + AFTER for one in page)
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "140"}
    done = subprocess.run(
        ["bash"], input=script, cwd=directory, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    found = done.stdout.split("\0")
    return [(found[number], int(found[number + 1])) for number in range(0, len(found) - 1, 2)], done.stderr


def _wrong(page: list[Command], results: list[tuple[str, int]]) -> Iterator[str]:
    if len(results) < len(page):
        yield f"line {page[len(results)].line}: did not end"
    for number, (one, (printed, ended)) in enumerate(zip(page, results, strict=False)):
        looked_at = number + 1 < len(page) and "$?" in page[number + 1].text
        if ended and not looked_at:
            yield f"line {one.line}: $ {one.text}\nended with {ended}"
        if one.expected and not prints(one.expected, printed):
            yield f"line {one.line}: $ {one.text}\nis said to print:\n{one.expected}\nbut printed:\n{printed}"


@pytest.mark.needs("opa", "git")
@pytest.mark.parametrize("page", [page for page in _pages() if BLOCK.search(page.read_text())], ids=_name)
def test_the_commands_of_a_page_do_what_the_page_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDAIN_OPA", str(part("opa")))
    listed = list(commands(page.read_text()))
    results, messages = _run(listed, tmp_path)
    wrong = list(_wrong(listed, results))
    assert not wrong, f"{page.name}\n" + "\n\n".join(wrong) + f"\n\nstderr:\n{messages}"


def test_the_readme_has_commands_that_are_run() -> None:
    assert len(list(commands((ROOT / "README.md").read_text()))) >= 5


def test_the_page_of_settings_says_what_the_settings_say() -> None:
    made = subprocess.run([sys.executable, ROOT / "docs" / "settings_page.py"], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert (ROOT / "docs" / "settings.md").read_text() == made, "run: .venv/bin/python docs/settings_page.py > docs/settings.md"


@pytest.mark.parametrize("page", _pages(), ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(CODE.sub("", page.read_text())):
        if "://" in target:
            continue
        place = (page.parent / target).resolve() if target else page
        if not place.exists() or (anchor and anchor not in _anchors(place)):
            broken.append(f"{target}#{anchor}")
    assert broken == []


def _anchors(page: Path) -> set[str]:
    """Return a page's anchors, as GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_a_page_that_lies_is_found_out(tmp_path: Path) -> None:
    text = "```console test\n$ echo one\ntwo\n$ false\n$ printf 'a\\nb\\n'\na\n…\n$ exit 3 | cat; (exit 3)\n$ echo $?\n3\n```\n"
    listed = list(commands(text))
    results, _ = _run(listed, tmp_path)
    assert [one.partition(":")[0] for one in _wrong(listed, results)] == ["line 2", "line 4"]
