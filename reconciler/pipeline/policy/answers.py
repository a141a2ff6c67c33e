"""From what a rule answered to findings: whatever does not have the shape of a finding is an error that says so."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agent.protocol.codec import sha256
from reconciler.pipeline.finding import Action, Finding, ObjectName, Place, Pointer
from reconciler.pipeline.policy.batches import Answer
from reconciler.pipeline.policy.levels import Setting
from reconciler.pipeline.policy.metadata import Rule

MESSAGE_LIMIT = 1_000
"""Characters of a message: it is one sentence, and stands in records for ever."""
PATH_LIMIT = 64
"""Parts of a path: manifests are at most 64 deep."""
STEP_LIMIT = 4_096
VALUE_SHOWN = 200
"""Characters of a value that a finding carries; of a longer one, its digest."""
_FIELDS = {"code", "path", "message"}
_CODE = re.compile(r"[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*")


class MalformedAnswerError(Exception):
    """A rule answered with something that is no finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What was judged: `value` is what paths lead into, `place_of` finds them in a file, `also` names further ones."""

    name: ObjectName | None
    value: Any
    place_of: Callable[[Pointer], Place]
    fleets: frozenset[str] = frozenset()
    also: Callable[[Pointer], tuple[Place, ...]] = lambda _: ()


def findings(answer: Answer, rule: Rule, setting: Setting, subject: Subject) -> Iterator[Finding]:
    """Return what one rule found on one subject; at most one finding says that some of it was not understood."""
    if answer.trouble:
        yield _error(rule, subject, answer.code, answer.trouble)
        return
    if not isinstance(answer.findings, list | tuple):
        yield _error(rule, subject, "malformed", "`deny` is not a set of findings")
        return
    trouble = ""
    for raw in answer.findings:
        try:
            yield _finding(raw, rule, setting, subject)
        except MalformedAnswerError as error:
            trouble = trouble or str(error)
    if trouble:
        yield _error(rule, subject, "malformed", trouble)


def _finding(raw: object, rule: Rule, setting: Setting, subject: Subject) -> Finding:
    if not isinstance(raw, dict) or raw.keys() != _FIELDS:
        message = f"a finding has {', '.join(sorted(_FIELDS))}, as result.at(…) makes it, and this is {json.dumps(raw)[:80]}"
        raise MalformedAnswerError(message)
    pointer = _pointer(raw["path"])
    return Finding(
        action=_action(setting),
        rule=rule.id,
        code=_code(raw["code"]) or rule.code,
        message=_message(raw["message"]),
        place=subject.place_of(pointer),
        remedy=rule.remedy,
        object=subject.name,
        also=subject.also(pointer),
        fleets=subject.fleets,
        scope=rule.scope,
        value=shown(resolve(subject.value, pointer), sensitive=rule.sensitive),
        sensitive=rule.sensitive,
        becomes=setting.becomes,
    )


def _action(setting: Setting) -> Action:
    return setting.level if setting.level != "off" else "audit"


def _pointer(path: object) -> Pointer:
    if not isinstance(path, list) or len(path) > PATH_LIMIT:
        message = f"the path of a finding is a list of at most {PATH_LIMIT} keys and indexes"
        raise MalformedAnswerError(message)
    for step in path:
        named = isinstance(step, str) and len(step) <= STEP_LIMIT
        counted = isinstance(step, int) and not isinstance(step, bool) and step >= 0
        if not named and not counted:
            message = f"a path has keys and indexes, and this is {json.dumps(step)[:80]}"
            raise MalformedAnswerError(message)
    return tuple(path)


def _message(message: object) -> str:
    if not isinstance(message, str) or not 0 < len(message.strip()) <= MESSAGE_LIMIT:
        reason = f"the message of a finding is text of at most {MESSAGE_LIMIT} characters"
        raise MalformedAnswerError(reason)
    return message


def _code(code: object) -> str:
    if not isinstance(code, str) or (code and not _CODE.fullmatch(code)):
        message = "the code of a finding is lower-case words joined by - and /"
        raise MalformedAnswerError(message)
    return code


def _error(rule: Rule, subject: Subject, code: str, trouble: str) -> Finding:
    return Finding(
        action="error",
        rule=rule.id,
        code=f"policy/{'failed' if code == 'gone' else code}",
        message=f"rule {rule.id} could not judge {subject.name or 'the change'}: {trouble}",
        place=subject.place_of(()),
        remedy=f"mend {rule.file}, or set the rule's level to off until it is mended",
        object=subject.name,
        fleets=subject.fleets,
        scope=rule.scope,
    )


def resolve(value: Any, pointer: Pointer) -> Any:
    """Return the value at a pointer, None where there is none; a number below a text is a line of it, two are some lines' ends."""
    for number, step in enumerate(pointer):
        if isinstance(value, str):
            return _lines_at(_lines(value), pointer[number:])
        if isinstance(value, list) and number == len(pointer) - 2 and (several := _lines_at(value, pointer[number:])) is not None:
            return several
        keyed = isinstance(value, Mapping) and step in value
        counted = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if not keyed and not counted:
            return None
        value = value[step]
    return value


def _lines_at(lines: Sequence[Any], steps: Pointer) -> str | None:
    match steps:
        case (int(first),):
            last = first
        case (int(first), int(last)):
            pass
        case _:
            return None
    several = lines[first : last + 1]
    return "\n".join(several) if several and all(isinstance(line, str) for line in several) else None


@lru_cache(maxsize=1)
def _lines(text: str) -> Sequence[str]:
    """Return the lines of a text; the last one is kept, since a rule may point at many of them."""
    return text.split("\n")


def line_of(value: Any, pointer: Pointer) -> tuple[Pointer, int | None]:
    """Return a pointer to a line of a text as one to the text, and the line, from 0; None where it leads to no line, or to the only one."""
    for number, step in enumerate(pointer):
        if isinstance(value, str):
            return pointer[:number], step if isinstance(step, int) and "\n" in value else None
        value = resolve(value, (step,))
    return pointer, None


def shown(value: Any, *, sensitive: bool) -> str:
    """Return a value as canonical JSON or, where it is long or secret, as the digest of that; nothing for none."""
    if value is None:
        return ""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text if len(text) <= VALUE_SHOWN and not sensitive else f"sha256:{sha256(text.encode(errors='surrogatepass'))}"
