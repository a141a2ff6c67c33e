"""What the campaign commits: word after word, and what a host must hold that has one of them, whole.

A word is in two files that stay, one that changes its name, and a directory that is unpacked: renames, removals and trees put aside.
"""

from pathlib import Path

from agent.protocol import codec
from tests import archive_cases
from tests.acceptance_cases import agent, component, fleet, repository

AGENTS = ("web-01", "web-02", "web-03")
FILES = ("motd", "more")
EXTRAS = 3
"""The third file has one of so many names by the word's number, so that files come and go as well."""
TREES = 3
"""The directory is one of so many."""


def first(archives: Path) -> dict[str, str | None]:
    """Return the whole fleet repository at word 1; archives are put into a directory, for the hosts to fetch."""
    archives.mkdir()
    for number in range(TREES):
        (archives / f"t{number}.tar.gz").write_bytes(archive_cases.release(f"t{number}", "tar.gz"))
    names = "motd}, {name: more}, {name: extra"
    agents = {f"tenants/shop/agents/{name}.yaml": agent(name, role="web") for name in AGENTS}
    own = {"ordain.yaml": with_local_artifacts(), "tenants/shop/fleets/web.yaml": fleet("web", names, role="web")}
    return {**repository(), **agents, **own, **files(1, archives)}


def files(number: int, archives: Path) -> dict[str, str | None]:
    """Return the files that bring a word."""
    made: dict[str, str | None] = {f"tenants/shop/components/{name}.yaml": component(name, f"/etc/{name}", f"w{number}") for name in FILES}
    made["tenants/shop/agents/web-04.yaml"] = agent("web-04", role="web", turn=str(number // 4))  # members change at times, too
    extra = component("extra", f"/etc/{_extra(number)}", f"w{number}") + artifact("/opt/tool", archives / f"{_tree(number)}.tar.gz")
    return made | {"tenants/shop/components/extra.yaml": extra}


def artifact(path: str, archive: Path) -> str:
    """Return the end of a component: an archive of this machine that is unpacked to a path."""
    source = f'url: "{archive.as_uri()}", sha256: "{codec.sha256(archive.read_bytes())}"'
    return f"  artifacts: [{{name: tool, path: {path}, unpack: tar.gz, {source}}}]\n"


def with_local_artifacts() -> str:
    """Return an ordain.yaml that lets artifacts come from this machine's files."""
    off = 'supply-chain/https-only: {level: "off"}, supply-chain/allowed-hosts: {level: "off"}'
    return repository()["ordain.yaml"] + f"  rules: {{{off}}}\n"


def held(root: Path) -> int:
    """Return which word a host holds, 0 before the first.

    Raises:
        AssertionError: a mix of two, or something that is left over.
    """
    etc, tool = root / "etc", root / "opt/tool/etc"
    found = {place.name: place.read_text() for place in etc.iterdir()} if etc.is_dir() else {}
    tree = {place.name: place.read_text() for place in tool.iterdir()} if tool.is_dir() else {}
    number = int(found["motd"].removeprefix("w")) if "motd" in found else 0
    assert found == (dict.fromkeys((*FILES, _extra(number)), f"w{number}") if number else {}), f"{root}: a mix of generations: {found}"
    expected = {"tool.conf": _tree(number), f"only-{_tree(number)}": "x"} if number else {}
    assert tree == expected, f"{root}: holds word {number} beside another's directory: {tree}"
    left = [place.name for directory in (root, root / "etc", root / "opt") if directory.is_dir() for place in directory.glob(".ordain-*")]
    assert not left, f"{root}: left over: {left}"
    return number


def _extra(number: int) -> str:
    return f"extra-{number % EXTRAS}"


def _tree(number: int) -> str:
    return f"t{number % TREES}"
