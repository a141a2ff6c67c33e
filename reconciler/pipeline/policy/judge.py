"""What decides: the rule library, a repository's own rules, and what `ordain.yaml` says of both.

A judge is loaded from a tree, so a change can be judged by the one before it and by its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agent.protocol.errors import RefusedError
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Layout
from reconciler.pipeline.tree import Tree

Level = Literal["off", "audit", "warn", "deny"]
Scope = Literal["object", "release", "change"]


class JudgeRefused(RefusedError):
    """The tree's own rules can't judge: they don't compile, or touch packages that are not theirs."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("; ".join(f"{each.place.file}: {each.message}" for each in findings))
        self.findings = findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, as its METADATA describes it; `id` comes from where it lies, never from what it says.

    `severity` is the level where `ordain.yaml` says nothing. `standing` is "block" where a verdict that
    was there before blocks too. `reads_change` is false only where that is certain: then an object
    rule's verdict holds for as long as (object, old, judge) do. `kinds` is empty where it asks about all.
    """

    id: str
    scope: Scope
    severity: Level
    code: str
    title: str
    description: str
    remedy: str
    standing: Literal["show", "block"] = "show"
    reads_change: bool = True
    kinds: frozenset[str] = frozenset()
    tenant: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What one rule does at one place: its level, its parameters, and whether standing verdicts block."""

    level: Level
    parameters: Mapping[str, Any]
    standing: Literal["show", "block"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A compiled judge. `bundle` is an OPA bundle whose revision is `digest`.

    `findings` are faults of `ordain.yaml` that leave the judge usable (an unknown rule id, say): denies on
    that file, to be added to whatever else is found.
    """

    digest: str
    rules: Mapping[str, Rule]
    bundle: bytes
    findings: tuple[Finding, ...] = ()

    def setting(self, rule: str, path: str, tenant: str) -> Setting:
        """Return what `rule` does for a manifest at `path` of `tenant` ("" for none)."""
        raise NotImplementedError

    def level(self, rule: str, path: str, tenant: str) -> Level:
        """Return only the level of `setting`."""
        return self.setting(rule, path, tenant).level


def load(tree: Tree, repository: Mapping[str, Any] | None, layout: Layout, *, opa: Path, cache: Path | None = None) -> Judge:
    """Compile the judge that `tree` brings; `repository` is the value of its `ordain.yaml`, if it has one.

    Raises `JudgeRefused` with all findings if its rules don't compile, and `RetryError` if OPA can't be run.
    """
    raise NotImplementedError
