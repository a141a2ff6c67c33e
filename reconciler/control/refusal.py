"""Refusals: why a request is not granted, in one form for agents and operators, whichever part of the control zone says no.

They are raised far from HTTP; `api/answers.py` turns them into answers. A refusal never says more than the asker may know: what is
another tenant's is `unknown`, as if it did not exist.
"""

from typing import Literal

from agent.protocol.errors import RefusedError

Code = Literal[
    "malformed",
    "unauthenticated",
    "refused",
    "revoked",
    "decommissioned",
    "quarantined",
    "unknown",
    "conflict",
    "too-much",
    "slow-down",
    "unavailable",
]


class Denied(RefusedError):  # noqa: N818 - it is what happened to a request; `RefusedError` says that it is an error
    """A request that is answered by `agent.protocol.enrolment.Refusal`: `code` for machines, the text for people.

    `retry_after` is in seconds, 0 where asking again changes nothing.
    """

    def __init__(self, code: Code, message: str, *, retry_after: int = 0) -> None:
        super().__init__(message)
        self.code: Code = code
        self.retry_after = retry_after
