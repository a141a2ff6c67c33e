"""Receipts: what came of a release on one host, for the exact (digest, group, mode, attempt)."""

from typing import Literal

from agent.protocol.state import Struct

FORMAT = 1


class Receipt(Struct):
    """One outcome; `fleet` is `<tenant>/<fleet>`, `at` is RFC 3339 in UTC."""

    format: int
    fleet: str
    agent: str
    digest: str
    members: int
    group: str
    mode: str | None
    attempt: int
    serial: int
    generation: int
    result: Literal["applied", "refused", "failed", "restored", "waiting"]
    why: str
    at: str
