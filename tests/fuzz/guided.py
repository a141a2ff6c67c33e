"""Fuzz one target under atheris, which follows coverage: `python -m tests.fuzz.guided TARGET [libFuzzer's options]`.

Ends the process: 0 when the time was up, else libFuzzer's code for what it found. https://github.com/google/atheris
"""

import sys

import atheris

with atheris.instrument_imports(include=["agent", "reconciler"]):
    from tests.fuzz.targets import SECONDS, TARGETS, timed

SLOWNESS = 10
"""How much slower a target is when its coverage is recorded, and beside other work on the machine."""


def main() -> None:
    """Fuzz until the time is up."""
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, lambda data: timed(target, data, seconds=SECONDS * SLOWNESS))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
