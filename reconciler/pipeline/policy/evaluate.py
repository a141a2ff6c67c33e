"""Asking OPA about objects, releases and changes; whatever goes wrong is an error that names the rule and the object."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from agent.protocol.codec import sha256
from reconciler.opa.server import MEMORY_LIMIT, OpaServer
from reconciler.pipeline import attestations
from reconciler.pipeline.finding import Finding, ObjectName, Place, Pointer
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.policy.answers import Subject, findings, line_of, resolve
from reconciler.pipeline.policy.batches import BATCH_BYTES, Answer, Asked, Batches, Question
from reconciler.pipeline.policy.judge import Judge, Rule
from reconciler.pipeline.policy.levels import Setting, alone
from reconciler.pipeline.policy.metadata import COMPONENT, Scope
from reconciler.pipeline.policy.recall import Answers, input_key, learn, object_key, told
from reconciler.pipeline.policy.stages import Cohort, cohort_of

BATCH_SECONDS = 2.0
"""The longest that OPA may take over a batch, large ones apart (`batches.LIMIT_BYTES`); a whole one usually takes a tenth of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectItem:
    """A manifest to judge and its accepted version (None when it is new).

    `sources` are the texts of a component's source files, by their `source`; those that are not text are left out.
    """

    document: Document
    old: Mapping[str, Any] | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedItem:
    """What a release makes of a component, in a component's shape; `path` is that of the manifest, which decides levels."""

    subject: Subject
    input: Mapping[str, Any]
    path: str
    cohort: Cohort


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    subject: Subject
    input: Mapping[str, Any]
    settings: "_Settings"


_Settings = Mapping[str, tuple[Rule, Setting]]
"""The rules to ask about something, by id."""


class Serving(Asked, Protocol):
    """What is asked: an `OpaServer`, or what stands before one and sees the questions."""

    def begin(self) -> None:
        """Start in the background."""
        ...

    def __enter__(self) -> object: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Policies:
    """A judge with an OPA of its own behind it. Use as a context manager; safe to call from several threads."""

    def __init__(
        self,
        judge: Judge,
        *,
        opa: Path,
        seconds: float = BATCH_SECONDS,
        memory: int = MEMORY_LIMIT,
        server: Serving | None = None,
        known: Answers | None = None,
    ) -> None:
        """Prepare to ask `judge`; `seconds` is the longest that OPA may take over one batch, `memory` the most bytes that it may hold.

        `server` is one that has the judge's bundle already and is started and stopped by someone else. With `known`,
        object rules are asked only about what is not known from there.
        """
        self.judge = judge
        self._opa = opa
        self._server: Serving = server or OpaServer(opa, judge.bundle, memory=memory)
        self._seconds = seconds
        self._known = known
        self._open: dict[int, tuple[_Settings, _Settings]] = {}
        self._finished: dict[int, tuple[_Settings, _Settings]] = {}
        self._digests: dict[int, tuple[_Settings, str]] = {}
        self._kept: dict[tuple[int, Scope, str], tuple[object, _Settings]] = {}

    def __enter__(self) -> Self:
        """Start OPA; raise `RetryError` if it does not come up."""
        self._server.__enter__()
        return self

    def begin(self) -> None:
        """Start OPA in the background; the first question waits until it answers, and raises `RetryError` if it does not."""
        self._server.begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop OPA."""
        self._server.__exit__(kind, error, trace)

    def on(self, now: str) -> "Policies":
        """Return those who are asked at an instant: the same OPA, with the levels of then; it lives as long as this one does."""
        judge = self.judge.on(now)
        if judge is self.judge:
            return self
        return Policies(judge, opa=self._opa, seconds=self._seconds, server=self._server, known=self._known)

    def narrowed(self, rule: str, parameters: Mapping[str, Any]) -> "Policies":
        """Return the same judge with only one rule on, at deny; it lives as long as this one does."""
        judge = replace(self.judge, levels=alone(self.judge.rules, rule, parameters))
        return Policies(judge, opa=self._opa, seconds=self._seconds, server=self._server)

    def objects(self, items: Sequence[ObjectItem], change: Mapping[str, Any]) -> list[Finding]:
        """Return what the object rules say of `items`, in order of items; `Finding.scope` is "object".

        A finding about a source file is placed in that, at the line that its path ends with (["sources", <source>, 3]),
        and names the manifest in `also`; one about a text of the manifest at its line (["spec", "files", 0, "content", 3]).

        Raises:
            RetryError: OPA does not come up any more.
        """
        asked = [self._about(item) for item in items]
        return _found(asked, self._recalled(asked, (object_key(item) for item in items), change))

    def each(self, items: Sequence[ObjectItem], change: Mapping[str, Any]) -> list[list[Finding]]:
        """Return what the object rules say of each item by itself, as `objects`: several may be versions of one object.

        Raises:
            RetryError: OPA does not come up any more.
        """
        asked = [self._about(item) for item in items]
        found: list[list[Finding]] = [[] for _ in items]
        for answer in self._answers(asked, change):
            found[answer.number] += _found(asked, [answer])
        return found

    @property
    def asks_finished(self) -> bool:
        """Whether any rule that is on somewhere wants to see finished states."""
        return any(rule.finished and self.judge.levels.anywhere(name) for name, rule in self.judge.rules.items())

    def finished(self, items: Sequence[FinishedItem], change: Mapping[str, Any]) -> list[list[Finding]]:
        """Return what the rules that are `finished` say of each item by itself.

        Raises:
            RetryError: OPA does not come up any more.
        """
        asked = []
        for item in items:
            here = self._settings("object", item.path, item.cohort, COMPONENT)
            if id(here) not in self._finished:
                self._finished[id(here)] = here, {name: each for name, each in here.items() if each[0].finished}
            asked.append(_Asked(subject=item.subject, input=item.input, settings=self._finished[id(here)][1]))
        found: list[list[Finding]] = [[] for _ in items]
        for answer in self._recalled(asked, map(self._key, asked), change):
            found[answer.number] += _found(asked, [answer])
        return found

    def _recalled(self, asked: Sequence[_Asked], keys: Iterable[str], change: Mapping[str, Any]) -> list[Answer]:
        """Return all answers, of OPA only those that are not known from before by their keys."""
        if self._known is None:
            return self._answers(asked, change)
        names = list(keys)
        known = [self._known.get(name) for name in names]
        left = [one if said is None else self._unsettled(one) for one, said in zip(asked, known, strict=True)]
        fresh = self._answers(left, change)
        learn(self._known, names, known, fresh, self.judge.rules)
        return sorted([*fresh, *told(known)], key=lambda answer: (answer.number, answer.rule))

    def _unsettled(self, asked: _Asked) -> _Asked:
        """Return a question without the rules whose answer holds whatever the change is."""
        key = id(asked.settings)
        if key not in self._open:
            still = {name: each for name, each in asked.settings.items() if each[0].reads_change}
            self._open[key] = (asked.settings, still)
        return replace(asked, settings=self._open[key][1])

    def _key(self, asked: _Asked) -> str:
        """Return by what a question is known that is about no manifest as it is written."""
        key = id(asked.settings)
        if key not in self._digests:
            self._digests[key] = asked.settings, sha256(json.dumps(_profile(asked.settings), sort_keys=True).encode())
        return input_key(asked.input, self._digests[key][1])

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
        into it (from "fleet", "release" or "members") to the manifest that it came from, and the empty one to the fleet's.

        Raises:
            RetryError: OPA does not come up any more.
        """
        subject = Subject(name=object, value=compiled_input, place_of=place_of, fleets=frozenset({fleet}))
        seen = {name: compiled_input[name] for name in ("fleet", "release", "members")} | {"old": old}
        asked = [self._of_scope("release", subject, seen, path=place_of(()).file)]
        return _found(asked, self._recalled(asked, map(self._key, asked), change))

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
        return self.about("change", subject, {}, change, path=place.file)

    def about(self, scope: Scope, subject: Subject, seen: Mapping[str, Any], change: Mapping[str, Any], *, path: str) -> list[Finding]:
        """Return what the rules of a scope other than object say of one subject; `seen` is their input, `path` decides levels.

        Raises:
            RetryError: OPA does not come up any more.
        """
        return self._ask([self._of_scope(scope, subject, seen, path=path)], change)

    def _of_scope(self, scope: Scope, subject: Subject, seen: Mapping[str, Any], *, path: str) -> _Asked:
        labels = resolve(seen, ("fleet", "metadata", "labels"))
        settings = self._settings(scope, path, cohort_of(subject.name, labels if isinstance(labels, Mapping) else {}), "")
        return _Asked(subject=subject, input=seen, settings=settings)

    def _about(self, item: ObjectItem) -> _Asked:
        document = item.document
        provenance = attestations.for_rules(document.value, item.sources, self.judge.attesting) if item.sources else {}
        seen = {"object": document.value, "old": item.old, "sources": item.sources, "provenance": provenance}
        value = {**document.value, "sources": {name: text.split("\n") for name, text in item.sources.items()}}
        subject = Subject(
            name=document.name,
            value=value,
            place_of=lambda pointer: _place(document, pointer),
            also=lambda pointer: (document.place(),) if pointer[:1] == ("sources",) else (),
        )
        return _Asked(
            subject=subject,
            input=seen,
            settings=self._settings("object", document.path, cohort_of(document.name, document.labels), document.kind),
        )

    def _settings(self, scope: Scope, path: str, cohort: Cohort, kind: str) -> "_Settings":
        """Return the rules to ask about something, with what `ordain.yaml` says of them there.

        Most manifests of a kind get the very same mapping: equal places have one, and the judge keeps those.
        """
        here = self.judge.settings(path, cohort.tenant, cohort)
        found = self._kept.get((id(here), scope, kind))
        if found is None or found[0] is not here:
            rules = ((self.judge.rules[name], setting) for name, setting in here.items() if setting.level != "off")
            settings = {
                rule.id: (rule, setting)
                for rule, setting in rules
                if rule.scope == scope and (scope != "object" or not rule.kinds or kind in rule.kinds)
            }
            found = self._kept[id(here), scope, kind] = (here, settings)
        return found[1]

    def _ask(self, asked: Sequence[_Asked], change: Mapping[str, Any]) -> list[Finding]:
        return _found(asked, self._answers(asked, change))

    def _answers(self, asked: Sequence[_Asked], change: Mapping[str, Any]) -> list[Answer]:
        profiles: dict[int, dict[str, dict[str, Any]]] = {}
        questions = [_question(number, each, profiles) for number, each in enumerate(asked) if each.settings]
        distinct = {id(each.settings): each.settings for each in asked}
        reads_change = any(rule.reads_change for settings in distinct.values() for rule, _ in settings.values())
        batches = Batches(self._server, change if reads_change else {}, seconds=self._seconds)
        return batches.ask(questions)


def _found(asked: Sequence[_Asked], answers: Sequence[Answer]) -> list[Finding]:
    found: list[Finding] = []
    for answer in answers:
        rule, setting = asked[answer.number].settings[answer.rule]
        found += findings(answer, rule, setting, asked[answer.number].subject)
    return found


def _question(number: int, asked: _Asked, profiles: dict[int, dict[str, dict[str, Any]]]) -> Question:
    """Return a question; those with the same rules and parameters share a profile, which is sent once."""
    key = id(asked.settings)
    if key not in profiles:
        profiles[key] = _profile(asked.settings)
    return Question(number=number, input=asked.input, profile=profiles[key], size=_size(asked.input))


def _profile(settings: _Settings) -> dict[str, dict[str, Any]]:
    """Return what OPA is told of the rules to ask."""
    return {
        name: {"path": rule.path, "parameters": setting.parameters, "named": rule.names_parameters}
        for name, (rule, setting) in settings.items()
    }


def _size(seen: Mapping[str, Any]) -> int:
    """Return the bytes of an input as JSON, about."""
    try:
        return len(msgspec.json.encode(seen))
    except (ValueError, RecursionError):  # an odd value that only Python's own encoder takes; it goes alone
        return BATCH_BYTES


def _place(document: Document, pointer: Pointer) -> Place:
    """Return where a pointer leads: into the manifest, where it may end in a line of a text, or ("sources", <source>, <line>) beside it."""
    match pointer:
        case ("sources", str(source), int(line), *_):
            return Place(file=f"{document.path.rpartition('/')[0]}/{source}", line=line + 1, column=1)
        case ("sources", str(source), *_):
            return Place(file=f"{document.path.rpartition('/')[0]}/{source}", line=1, column=1)
        case _:
            inner, row = line_of(document.value, pointer)
            return replace(document.place(*inner), row=row)


def _file_of(change: Mapping[str, Any], pointer: Pointer) -> str:
    """Return the file of the object of a change that a pointer leads to: ("objects", "changed", 0, …)."""
    match pointer:
        case ("objects", "added" | "changed" | "removed", int(), *_):
            named = resolve(change, (*pointer[:3], "file"))
            return named if isinstance(named, str) else ""
        case _:
            return ""
