"""Asking OPA about objects, releases and changes; whatever goes wrong is an error that names the rule and the object."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reconciler.pipeline.finding import Finding, ObjectName, Place, Pointer
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.policy.answers import Subject, findings, resolve
from reconciler.pipeline.policy.batches import Answer, Batches, Question
from reconciler.pipeline.policy.judge import Judge, Rule
from reconciler.pipeline.policy.levels import Setting
from reconciler.pipeline.policy.metadata import Scope
from reconciler.pipeline.policy.server import OpaServer

BATCH_SECONDS = 2.0
"""The longest that OPA may take over a batch; a whole one usually takes 30 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectItem:
    """A manifest to judge and its accepted version (None when it is new).

    `sources` are the texts of a component's source files, by their `source`: rules about secrets read them.
    """

    document: Document
    old: Mapping[str, Any] | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


class Policies:
    """A judge with an OPA of its own behind it. Use as a context manager; safe to call from several threads."""

    def __init__(self, judge: Judge, *, opa: Path, seconds: float = BATCH_SECONDS) -> None:
        """Prepare to ask `judge`; `seconds` is the longest that OPA may take over one batch."""
        self.judge = judge
        self._server = OpaServer(opa, judge.bundle)
        self._seconds = seconds

    def __enter__(self) -> Self:
        """Start OPA; raise `RetryError` if it does not come up."""
        self._server.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop OPA."""
        self._server.__exit__(kind, error, trace)

    def objects(self, items: Sequence[ObjectItem], change: Mapping[str, Any]) -> list[Finding]:
        """Return what the object rules say of `items`, in order of items; `Finding.scope` is "object".

        Raises:
            RetryError: OPA does not come up any more.
        """
        asked = [self._about(item) for item in items]
        return self._ask(asked, change)

    def release(
        self,
        compiled_input: Mapping[str, Any],
        *,
        old: Mapping[str, Any] | None,
        change: Mapping[str, Any],
        fleet: str,
        place_of: Callable[[Pointer], Place],
        object: ObjectName,  # noqa: A002 - the word that findings use
    ) -> list[Finding]:
        """Return what the release rules say of one fleet's release; `fleets` of each finding is `{fleet}`.

        `compiled_input` is `Compiled.release_input()`, `old` that of the accepted release. `place_of` maps a pointer
        into its "release" to the manifest that it came from, and the empty one to the Fleet manifest.

        Raises:
            RetryError: OPA does not come up any more.
        """
        root = place_of(())

        def place(pointer: Pointer) -> Place:
            match pointer:
                case ("release", *rest):
                    return place_of(tuple(rest))
                case ("fleet", *rest):
                    return replace(root, pointer=(*root.pointer, *rest))
                case ("members", *_):
                    return replace(root, pointer=(*root.pointer, "spec", "selector"))
                case _:
                    return root

        subject = Subject(name=object, value=compiled_input, place_of=place, fleets=frozenset({fleet}))
        seen = {name: compiled_input[name] for name in ("fleet", "release", "members")} | {"old": old}
        return self._ask(
            [_Asked(subject=subject, input=seen, settings=self._settings("release", root.file, object.tenant, "Fleet"))], change
        )

    def change(self, change: Mapping[str, Any], place: Place) -> list[Finding]:
        """Return what the change rules say of a change.

        A finding is at `place` (`ordain.yaml`, say), unless its path names an object that was added or changed
        (["objects", "changed", 0]): then at the file of that. A removed object's file is among `also`.

        Raises:
            RetryError: OPA does not come up any more.
        """

        def where(pointer: Pointer) -> Place:
            file = _file_of(change, pointer)
            return Place(file=file) if file and pointer[1] != "removed" else place

        def also(pointer: Pointer) -> tuple[Place, ...]:
            file = _file_of(change, pointer)
            return (Place(file=file),) if file and pointer[1] == "removed" else ()

        subject = Subject(name=None, value=change, place_of=where, also=also)
        return self._ask([_Asked(subject=subject, input={}, settings=self._settings("change", place.file, "", ""))], change)

    def _about(self, item: ObjectItem) -> "_Asked":
        document = item.document
        tenant = document.name.tenant if document.name else ""
        subject = Subject(name=document.name, value=document.value, place_of=lambda pointer: document.place(*pointer))
        seen = {"object": document.value, "old": item.old, "sources": item.sources}
        return _Asked(subject=subject, input=seen, settings=self._settings("object", document.path, tenant, document.kind))

    def _settings(self, scope: Scope, path: str, tenant: str, kind: str) -> dict[str, tuple[Rule, Setting]]:
        """Return the rules to ask about something, with what `ordain.yaml` says of them there."""
        found = {}
        for name, setting in self.judge.settings(path, tenant).items():
            rule = self.judge.rules[name]
            if rule.scope == scope and setting.level != "off" and (scope != "object" or not rule.kinds or kind in rule.kinds):
                found[name] = (rule, setting)
        return found

    def _ask(self, asked: Sequence["_Asked"], change: Mapping[str, Any]) -> list[Finding]:
        profiles: dict[tuple[int, ...], dict[str, dict[str, Any]]] = {}
        questions = [_question(number, each, profiles) for number, each in enumerate(asked)]
        reads_change = any(rule.reads_change for each in asked for rule, _ in each.settings.values())
        batches = Batches(self._server, change if reads_change else {}, seconds=self._seconds)
        return [finding for answer in batches.ask(questions) for finding in self._understood(answer, asked[answer.number])]

    def _understood(self, answer: Answer, asked: "_Asked") -> list[Finding]:
        rule, setting = asked.settings[answer.rule]
        return list(findings(answer, rule, setting, asked.subject))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    subject: Subject
    input: Mapping[str, Any]
    settings: Mapping[str, tuple[Rule, Setting]]


def _question(number: int, asked: _Asked, profiles: dict[tuple[int, ...], dict[str, dict[str, Any]]]) -> Question:
    """Return a question; those with the same rules and parameters share a profile, which is sent once."""
    key = tuple(id(setting) for _, setting in asked.settings.values())
    if key not in profiles:
        profiles[key] = {name: {"path": rule.path, "parameters": setting.parameters} for name, (rule, setting) in asked.settings.items()}
    return Question(number=number, input=asked.input, profile=profiles[key], size=len(json.dumps(asked.input, ensure_ascii=False)))


def _file_of(change: Mapping[str, Any], pointer: Pointer) -> str:
    """Return the file of the object of a change that a pointer leads to: ("objects", "changed", 0, …)."""
    match pointer:
        case ("objects", "added" | "changed" | "removed", int(), *_):
            named = resolve(change, (*pointer[:3], "file"))
            return named if isinstance(named, str) else ""
        case _:
            return ""
