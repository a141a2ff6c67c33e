"""Write docs/rules/: a page for each category of ordain's own rules, made of their METADATA, and an index.

A rule is described once, in its own file, and the pages follow: tests/integration/test_rules_pages.py holds them to that.

    .venv/bin/python docs/rules_pages.py
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from reconciler.opa.program import find_opa
from reconciler.pipeline.manifests import Layout
from reconciler.pipeline.policy.judge import Rule, load
from reconciler.pipeline.policy.library import BUILT_IN
from reconciler.pipeline.tree import MemoryTree
from reconciler.resources import directory

TARGET = Path(__file__).resolve().parent / "rules"
INDEX = "README.md"
MADE = "<!-- Made by docs/rules_pages.py from METADATA in policies/rules. Change it there. -->\n"
CATEGORIES = {
    "supply-chain": "Where software comes from, and whether it is what was reviewed.",
    "host-safety": "What can lock people out of a host, or hand it to somebody else.",
    "secrets": "Keys, tokens and passwords in plain text. What such a rule finds is never shown, neither value nor line.",
    "tenancy": "What one tenant may reach.",
    "access": "Who may operate, and which hosts may join.",
    "reliability": "Whether a fault is noticed, met by few hosts, and taken back.",
    "release": "What a fleet's new release would do to its hosts.",
    "change": "What a change does as a whole, and to what it was before.",
    "hygiene": "What makes a repository readable in a year.",
}
SCOPES = {
    "object": "each manifest that changed",
    "release": "each fleet whose release changes",
    "change": "each change as a whole",
}


def pages() -> dict[str, str]:
    """Return all pages by file name; raise `KeyError` for a category that has no words here."""
    rules = load(MemoryTree({}), None, Layout(), opa=find_opa(None)).rules.values()
    found = {f"{category}.md": _page(category, _of(category, rules)) for category in CATEGORIES}
    unknown = {rule.id for rule in rules} - {rule.id for category in CATEGORIES for rule in _of(category, rules)}
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    return {INDEX: _index(rules), **found}


def _of(category: str, rules: Iterable[Rule]) -> list[Rule]:
    return [rule for rule in rules if rule.id.startswith(f"{category}/")]


def _index(rules: Iterable[Rule]) -> str:
    rules = list(rules)
    head = f"""\
# The rules that ordain brings

{len(rules)} rules judge a fleet repository unless its `ordain.yaml` says otherwise. Those about safety and security deny, the others warn.
Those that need to know something of you first (which labels mark production, say) are off until that parameter is set.
[Policies](../policies.md) tells how to set levels and parameters, and how to write rules of your own.

{MADE}"""
    parts = []
    for category, words in CATEGORIES.items():
        rows = "".join(
            f"| [{_name(rule)}]({category}.md#{_name(rule)}) | {_level(rule)} | {rule.title} |\n" for rule in _of(category, rules)
        )
        parts.append(f"\n## {category}\n\n{words}\n\n| rule | level | what holds where it is kept |\n|---|---|---|\n{rows}")
    return head + "".join(parts)


def _page(category: str, rules: Iterable[Rule]) -> str:
    return f"# Rules: {category}\n\n{CATEGORIES[category]} [All rules](README.md)\n\n{MADE}" + "".join(map("".join, map(_section, rules)))


def _section(rule: Rule) -> Iterator[str]:
    reason = rule.description.replace("\n", "\n> ")
    yield f"\n## {_name(rule)}\n\n{rule.title}.\n\n> {reason}\n\n"
    yield f"What to do: {rule.remedy}.\n\n"
    asked = f"each {' and '.join(sorted(rule.kinds))} that changed" if rule.kinds else SCOPES[rule.scope]
    asked += ", and [what fleets fill in](../policies.md#finished-texts)" if rule.finished else ""
    yield f"| | |\n|---|---|\n| id | `{rule.id}` |\n| level | {_level(rule)} |\n| asked about | {asked} |\n| code | `{rule.code}` |\n"
    for name, value in rule.parameters.items():
        yield f"| parameter `{name}` | {_default(value)} |\n"
    yield "\nFound, on the lines that are marked:\n\n"
    for example in _examples(rule):
        yield f"```yaml\n{example.strip()}\n```\n"


def _examples(rule: Rule) -> Iterator[str]:
    """Yield the examples of a rule in which something is found."""
    folder = directory("policies") / PurePosixPath(rule.file.removeprefix(BUILT_IN)).parent / "examples"
    yield from (path.read_text() for path in sorted(folder.glob("fail-*")))


def _name(rule: Rule) -> str:
    return rule.id.partition("/")[2]


def _level(rule: Rule) -> str:
    return f"{rule.severity}, once {' or '.join(f'`{name}`' for name in rule.needs)} is set" if rule.needs else rule.severity


def _default(value: object) -> str:
    if value == []:
        return "none"
    if isinstance(value, list):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def main() -> None:
    """Write the pages, and remove those of categories that are gone."""
    TARGET.mkdir(exist_ok=True)
    made = pages()
    for path in TARGET.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (TARGET / name).write_text(text)


if __name__ == "__main__":
    main()
