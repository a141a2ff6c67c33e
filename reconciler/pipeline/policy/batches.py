"""Putting many questions to OPA at once, and finding out which one it could not answer.

One request holds up to some hundred objects (measured: one object a request is five times slower). If one fails, OPA
does not say for which object: so the batch is asked again rule by rule, and the rule that fails is asked about ever
fewer objects, until what is left is one rule and one object. Every other question still gets its answer.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

from reconciler.opa.client import TroubleError
from reconciler.opa.server import JUDGING

BATCH_ITEMS = 250
"""Items of one request: between 200 and 1,000 make no difference to OPA, fewer make a failure cheaper to find."""
BATCH_BYTES = 4_000_000
"""Bytes of one request, so that a few huge manifests don't take all of its time."""
LIMIT_BYTES = 500_000
"""Bytes of a batch that fill its time limit; a larger one has as much more. Measured: 1 MB of text in one manifest takes 0.5 to 1.3 s."""
CALLERS = 2
"""Requests under way at once: a second one gains a third, more gain nothing on the machines that were measured."""
PARTS = 8
"""Into how many parts a failing batch is cut: a rule that loops costs its full time at every cut."""
PATIENCE = 10
"""A rule that has cost so many time limits in failures is not asked again: its other questions fail unasked."""


class Asked(Protocol):
    """What answers: an `OpaServer`."""

    def query(self, package: str, rule: str, question: object, *, seconds: float) -> Any:
        """Return the value of a rule, or raise `TroubleError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An item: what rules see of it, which are asked (id → {path, parameters, named}), and its bytes as JSON, about."""

    number: int
    input: Mapping[str, Any]
    profile: Mapping[str, Mapping[str, Any]]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one rule says of one item: the raw findings of OPA, or the trouble that kept it from answering."""

    number: int
    rule: str
    findings: object = ()
    trouble: str = ""
    code: str = ""


class Batches:
    """One run of questions about one change; `seconds` is the longest that OPA may take over a batch of `LIMIT_BYTES`, or fewer."""

    def __init__(self, server: Asked, change: Mapping[str, Any], *, seconds: float) -> None:
        self._server = server
        self._change = change
        self._seconds = seconds
        self._lost: dict[str, float] = {}
        self._lock = threading.Lock()

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """Return all answers that are not empty, in order of questions and rules.

        Raises:
            RetryError: OPA does not come up any more.
        """
        batches = list(_cut([each for each in questions if each.profile]))
        if len(batches) <= 1:
            answers = [answer for batch in batches for answer in self._settle(batch)]
        else:
            with ThreadPoolExecutor(CALLERS, thread_name_prefix="policy") as callers:
                answers = [answer for found in callers.map(self._settle, batches) for answer in found]
        return sorted(answers, key=lambda answer: (answer.number, answer.rule))

    def _settle(self, batch: Sequence[Question]) -> list[Answer]:
        """Return the answers to a batch, cutting it up as far as trouble demands."""
        rules = sorted({rule for question in batch for rule in question.profile})
        if len(rules) == 1 and self._spent(rules[0]):
            trouble = "it was not asked any more, after it had failed for others for too long"
            return [Answer(number=each.number, rule=rules[0], trouble=trouble, code="timeout") for each in batch]
        started = time.monotonic()
        try:
            return self._put(batch)
        except TroubleError as error:
            if len(rules) > 1:
                return [answer for rule in rules for answer in self._settle(_only(batch, rule))]
            self._lose(rules[0], time.monotonic() - started)
            if len(batch) > 1:
                step = -(-len(batch) // PARTS)
                return [answer for start in range(0, len(batch), step) for answer in self._settle(batch[start : start + step])]
            return [Answer(number=batch[0].number, rule=rules[0], trouble=str(error), code=error.code)]

    def _put(self, batch: Sequence[Question]) -> list[Answer]:
        """Ask a batch as one request; any answer that is not complete is trouble, never "nothing found"."""
        profiles: list[list[dict[str, Any]]] = []
        known: dict[int, int] = {}
        items = []
        for question in batch:
            if id(question.profile) not in known:
                known[id(question.profile)] = len(profiles)
                profiles.append(_grouped(question.profile))
            items.append({"input": question.input, "profile": known[id(question.profile)]})
        wanted = {"items": items, "profiles": profiles, "change": self._change}
        answer = self._server.query(JUDGING, "answer", wanted, seconds=self._limit(batch))
        if not isinstance(answer, dict) or answer.get("asked") != sum(len(question.profile) for question in batch):
            message = "it has no answer: `deny` is undefined"
            raise TroubleError(message)
        return [_answer(each, batch) for each in answer["answers"]]

    def _limit(self, batch: Sequence[Question]) -> float:
        """Return the seconds that OPA may take over a batch."""
        return self._seconds * max(1.0, sum(question.size for question in batch) / LIMIT_BYTES)

    def _spent(self, rule: str) -> bool:
        with self._lock:
            return self._lost.get(rule, 0.0) > PATIENCE * self._seconds

    def _lose(self, rule: str, seconds: float) -> None:
        with self._lock:
            self._lost[rule] = self._lost.get(rule, 0.0) + seconds


def _grouped(profile: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rules of a profile by the input that they share: [{parameters, rules: {id: path}}].

    Each further input costs as much as several rules. So rules that read parameters by name get one with the parameters
    of all of them, where no name means two things; others share theirs only with those that have the very same.
    """
    named: list[dict[str, Any]] = []
    others: dict[str, dict[str, Any]] = {}
    for name, asked in profile.items():
        parameters = asked["parameters"]
        own = {"parameters": parameters, "rules": {}}
        group = _with_room(named, parameters) if asked["named"] else others.setdefault(_as_json(parameters), own)
        group["rules"][name] = asked["path"]
    return [*named, *others.values()]


def _with_room(groups: list[dict[str, Any]], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first group that has no other values for these parameters, with them added; a new one where there is none."""
    for group in groups:
        known = group["parameters"]
        if all(name not in known or _as_json(known[name]) == _as_json(value) for name, value in parameters.items()):
            known |= parameters
            return group
    groups.append({"parameters": dict(parameters), "rules": {}})
    return groups[-1]


def _as_json(value: object) -> str:
    """Return what two values have in common only if they are the same: in Python 1, 1.0 and True are equal."""
    return json.dumps(value, sort_keys=True)


def _answer(raw: Mapping[str, Any], batch: Sequence[Question]) -> Answer:
    """Return one of the router's answers; the router is ours, so only what rules put into it is in doubt."""
    number, rule = batch[raw["item"]].number, raw["rule"]
    if "overflow" in raw:
        return Answer(
            number=number, rule=rule, trouble=f"{raw['overflow']} findings on one object, more than can be told", code="malformed"
        )
    return Answer(number=number, rule=rule, findings=raw["findings"])


def _only(batch: Sequence[Question], rule: str) -> list[Question]:
    """Return what a batch asks of one rule."""
    kept: dict[int, Mapping[str, Mapping[str, Any]]] = {}
    for question in batch:
        if rule in question.profile:
            kept.setdefault(id(question.profile), {rule: question.profile[rule]})
    return [replace(question, profile=kept[id(question.profile)]) for question in batch if rule in question.profile]


def _cut(questions: Sequence[Question]) -> Iterator[Sequence[Question]]:
    """Cut questions into batches of bounded number and size; one question that is too large goes alone."""
    batch: list[Question] = []
    size = 0
    for question in questions:
        if batch and (len(batch) >= BATCH_ITEMS or size + question.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(question)
        size += question.size
    if batch:
        yield batch
