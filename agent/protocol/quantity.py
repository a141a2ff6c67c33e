"""Amounts as manifests write them: bytes with Ki, Mi, Gi or Ti, and shares of a processor in percent of one core."""

import re

from agent.protocol.errors import MalformedError

UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_OCTETS = re.compile(r"([1-9][0-9]{0,11})(Ki|Mi|Gi|Ti|)", re.ASCII)
_PERCENT = re.compile(r"([1-9][0-9]{0,4})%", re.ASCII)


def octets(text: str) -> int:
    """Return the bytes of a quantity: `256Mi` is 268,435,456; raise `MalformedError` for anything else."""
    found = _OCTETS.fullmatch(text)
    if found is None:
        message = f"{text[:40]!r} is not a quantity: write a whole number with Ki, Mi, Gi or Ti, such as 256Mi"
        raise MalformedError(message)
    return int(found[1]) * UNITS[found[2]]


def percent(text: str) -> int:
    """Return the percent of one core in a share of processor time: `150%` is 150; raise `MalformedError` for anything else."""
    found = _PERCENT.fullmatch(text)
    if found is None:
        message = f"{text[:40]!r} is not a share of processor time: write a percentage of one core, such as 50% or 200%"
        raise MalformedError(message)
    return int(found[1])
