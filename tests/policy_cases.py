"""Rules and manifests that the tests of policies share, written as people write them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from reconciler.pipeline.manifests import Document, Layout, parse_file
from reconciler.pipeline.policy.evaluate import ObjectItem, Policies
from reconciler.pipeline.policy.examples import EMPTY_CHANGE
from reconciler.pipeline.policy.judge import Judge, load
from reconciler.pipeline.tree import MemoryTree

CHANGE: dict[str, Any] = dict(EMPTY_CHANGE)


def rego(package: str, body: str, *, scope: str = "object", custom: str = "", kind: str = "") -> bytes:
    """Return a rule's file; `body` is its Rego after the import, `custom` more lines of METADATA's custom."""
    typed = f"#   - input.object: schema.{kind}\n" if kind else ""
    more = "".join(f"#   {line}\n" for line in custom.splitlines())
    return (
        f"# METADATA\n# title: A rule of a test\n# schemas:\n#   - input: schema.input\n{typed}"
        f"# custom:\n#   scope: {scope}\n#   severity: deny\n#   code: test/rule\n{more}"
        f"package {package}\n\nimport data.ordain.result\n\n{body}\n"
    ).encode()


def finds(condition: str = "true", path: str = '["metadata", "name"]') -> str:
    """Return a body that finds something at `path` where a condition holds."""
    return f'deny contains result.at(rego.metadata.chain(), {path}, "found") if {{\n\t{condition}\n}}'


def judge(opa: Path, files: Mapping[str, bytes] | None = None, **spec: Any) -> Judge:
    """Load a judge from own policy files and the `spec` of ordain.yaml."""
    return load(MemoryTree(files or {}), {"spec": spec}, Layout(), opa=opa)


def only(opa: Path, files: Mapping[str, bytes]) -> Judge:
    """Load a judge in which only own rules are on."""
    return judge(opa, files, rules={name: {"level": "off"} for name in _library(opa)})


@cache
def _library(opa: Path) -> tuple[str, ...]:
    """Return the rules that ordain brings: they are of this checkout, so asking once is enough."""
    return tuple(judge(opa).rules)


def component(name: str, spec: str = "{}", tenant: str = "shop") -> Document:
    """Return a component manifest as it stands in a file of its own."""
    text = f"apiVersion: ordain.dev/v1\nkind: Component\nmetadata: {{name: {name}, tenant: {tenant}}}\nspec: {spec}\n"
    [document] = parse_file(f"tenants/{tenant}/{name}.yaml", text.encode()).documents
    return document


def ask(policies: Policies, *documents: Document, change: Mapping[str, Any] = CHANGE) -> list[tuple[str, str, str]]:
    """Return who found what: (object's name, rule, action) of each finding."""
    found = policies.objects([ObjectItem(document=document) for document in documents], change)
    return [(finding.object.name if finding.object else "", finding.rule, finding.action) for finding in found]
