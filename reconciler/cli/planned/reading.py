"""A plan that another process wrote (`ordain plan --format json`), read as bytes that anybody may have written.

What a plan's own renderers take from the program as it is, and don't put into code, is held to its form here: actions, times, commits
and the first sentence.
"""

import re
from typing import Any, Literal

import msgspec

from agent.protocol.errors import InputError, MalformedError
from reconciler.pipeline.plan.shape import FORMAT, Plan

PLAN_LIMIT = 64 * 1024 * 1024
"""Bytes: a plan that leaves nothing out (`--all`) of a fleet of 100,000 hosts has a third of them."""
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SENTENCE = re.compile(r"[A-Za-z ,:]*")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class _Waived(msgspec.Struct):
    waiver: str


class _Verdict(msgspec.Struct):
    """What is shown of a verdict."""

    action: Literal["deny", "warn", "audit", "error"]
    rule: str
    message: str
    file: str
    line: int
    column: int
    standing: bool
    blocking: bool
    waived: _Waived | None


def read(data: bytes, *, what: str) -> Plan:
    """Return the plan; `what` names it in errors.

    Raises:
        InputError: a plan of another format, so of another version of ordain.
        MalformedError: no plan.
    """
    try:
        plain: Any = msgspec.json.decode(data) if len(data) <= PLAN_LIMIT else None
        if isinstance(plain, dict) and "fleets" in plain and plain.get("format") != FORMAT:
            message = f"{what}: a plan of format {plain.get('format')!r}, here it is {FORMAT}; make both by the same version of ordain"
            raise InputError(message)
        plan = msgspec.convert(plain, Plan)
        verdicts = (plan.verdicts.new, plan.verdicts.gone, plan.verdicts.unchanged, plan.judge.base_only, plan.judge.head_only)
        msgspec.convert([one for found in verdicts for one in found], list[_Verdict])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        message = f"{what}: not what `ordain plan --format json` prints ({error})"
        raise MalformedError(message) from error
    named = all(one is None or _COMMIT.fullmatch(one) for one in (plan.base, plan.head))
    if not (named and _TIME.fullmatch(plan.at) and _SENTENCE.fullmatch(plan.signatures.sentence)):
        message = f"{what}: not what `ordain plan --format json` prints (a time, a commit or a sentence that is none)"
        raise MalformedError(message)
    return plan
