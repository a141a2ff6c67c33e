"""Every rule that the code raises is described, and nothing is described that it doesn't raise."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from reconciler.pipeline.descriptions import structural
from reconciler.pipeline.validation import names

ROOT = Path(__file__).resolve().parents[2] / "reconciler" / "pipeline"
MAKERS = {"compile/findings.py": "across", "validation/findings.py": "refused", "snapshot.py": "_refused"}
"""Modules that put `manifest/` before a word, and the function that is given the word."""
CONFLICTS = {"path-conflict", "name-conflict"}
"""What the one word that is put together (`{claimed}-conflict`) may be."""


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name != "descriptions.py":
            yield name, ast.parse(path.read_text())


def _literal(node: ast.AST) -> set[str]:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else CONFLICTS


def _given(name: str, call: ast.Call) -> set[str]:
    called = call.func.id if isinstance(call.func, ast.Name) else ""
    if called == "across" and name.startswith("compile/"):
        return _literal(call.args[0])
    if called == "refused" and name.startswith("validation/"):
        return _literal(call.args[1])
    return _literal(call.args[0]) if called == "_refused" and name == "snapshot.py" else set()


def raised() -> set[str]:
    found: set[str] = set()
    for name, module in _sources():
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch("manifest/[a-z-]+", node.value):
                found.add(node.value)
            elif isinstance(node, ast.Call):
                found |= {f"manifest/{word}" for word in _given(name, node)}
    return found


def test_every_rule_of_manifests_that_is_raised_is_described_and_no_other() -> None:
    assert {one.id for one in structural() if one.id.startswith("manifest/")} == raised()


def test_rules_of_manifests_are_made_where_this_test_looks() -> None:
    makers = {
        name
        for name, module in _sources()
        for node in ast.walk(module)
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant) and node.values[0].value == "manifest/"
    }
    assert makers == MAKERS.keys()


def test_every_kind_has_its_rule() -> None:
    kinds = {name for name in names() if "/" not in name}
    assert {one.id for one in structural() if one.id.startswith("schema/")} == {f"schema/{name}" for name in (*kinds, "manifest")}


def test_descriptions_are_whole_sentences_and_remedies_are_not() -> None:
    for one in structural():
        assert one.description.endswith("."), one.id
        assert not one.title.endswith("."), one.id
        assert not one.remedy.endswith("."), one.id
