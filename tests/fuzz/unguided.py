"""Fuzz one target by mutating its seeds, without following coverage: for machines that atheris can't be had for.

`python -m tests.fuzz.unguided TARGET SECONDS CRASHES`: writes what broke the target into the directory CRASHES, and ends with 1.
"""

import hashlib
import random
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import SECONDS, TARGETS, timed

EDITS = 8
"""Mutations of one input at most."""
LENGTH = 4096
"""Bytes that one mutation takes over from another seed at most."""
SLOWNESS = 3
"""How much slower a target may be beside other work on the machine."""


def mutated(chance: random.Random, known: Sequence[bytes]) -> bytes:
    """Return one of the inputs with some bytes replaced, removed, repeated, or taken from another one."""
    data = chance.choice(known)
    for _ in range(chance.randint(1, EDITS)):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.choice((0, 1, 1, 4, 16, LENGTH)))
        other = chance.choice(known)
        from_ = chance.randint(0, len(other))
        new = (
            chance.randbytes(chance.randint(0, 4)),
            other[from_ : from_ + chance.randint(0, LENGTH)],
            data[start:end] * chance.choice((0, 2, 50)),
            chance.choice((b"\0", b"\xff", b"\n", b'"', b"${", b"- ", b"9" * 20, b"\xed\xa0\x80", b"[" * 100)),
        )
        data = data[:start] + chance.choice(new) + data[end:]
    return data


def main() -> None:
    """Fuzz until the time is up, or something broke."""
    name, seconds, crashes = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    target, known = TARGETS[name], seeds(name)
    chance = random.Random(time.time_ns())
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        data = mutated(chance, known)
        count += 1
        try:
            timed(target, data, seconds=SECONDS * SLOWNESS)
        except Exception:  # noqa: BLE001 - that there is any is what is looked for
            crashes.mkdir(parents=True, exist_ok=True)
            (crashes / f"crash-{hashlib.sha256(data).hexdigest()[:40]}").write_bytes(data)
            traceback.print_exc()
            sys.exit(1)
    print(f"Done {count} runs in {seconds:.0f} seconds", file=sys.stderr)  # noqa: T201 - libFuzzer's words


if __name__ == "__main__":
    main()
