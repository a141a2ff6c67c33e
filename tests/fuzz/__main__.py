"""`make fuzz`: each target for some seconds, under atheris where it is installed, else by mutation alone.

What breaks a target is left in `.fuzz/crashes/`: mend it, and put the file into `tests/vectors/fuzz/<target>/`, which the gate
runs from then on. The inputs that atheris found interesting stay in `.fuzz/corpus/`, where the next run goes on from.
"""

import argparse
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.seeds import field_names, seeds
from tests.fuzz.targets import TARGETS

WORK = Path(".fuzz")
MEMORY = 2048
"""Megabytes of one fuzzing process, coverage and corpus included."""
HANG = 30
"""Seconds after which an input counts as one that hangs."""
LARGEST = 65_536
"""Bytes of an input: what larger ones do is measured in tests/integration/test_hostile_inputs.py."""
SHOWN = 4000
"""Characters of a run that failed which are shown."""


def main() -> None:
    """Fuzz the targets asked for; end with 1 where one broke."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Fuzz everything that reads what strangers wrote.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (all)")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (20)")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - TARGETS.keys():
        parser.error(f"no target is named {', '.join(sorted(unknown))}")
    guided = importlib.util.find_spec("atheris") is not None
    if not guided:
        _say("atheris is not installed: inputs are mutated without following coverage, which finds less")
    broken = [name for name in asked.targets or TARGETS if not _run(name, asked.seconds, guided=guided)]
    if broken:
        _say(f"broke: {', '.join(broken)}; the inputs are in {WORK / 'crashes'}")
        sys.exit(1)


def _run(name: str, seconds: int, *, guided: bool) -> bool:
    """Fuzz one target in a process of its own, and return whether it held."""
    crashes = WORK / "crashes" / name
    crashes.mkdir(parents=True, exist_ok=True)
    command = _guided(name, seconds, crashes) if guided else ["tests.fuzz.unguided", name, str(seconds), str(crashes)]
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, errors="replace", check=False)
    runs = re.findall(r"Done (\d+) runs", done.stderr)
    coverage = re.findall(r"cov: (\d+)", done.stderr)
    held = f"{int(runs[-1]):,} inputs" if runs else "stopped"
    _say(f"{name:12} {'held' if done.returncode == 0 else 'BROKE'}: {held}, {seconds} s" + (f", {coverage[-1]} edges" if coverage else ""))
    if done.returncode != 0:
        _say((done.stdout + done.stderr)[-SHOWN:])
    return done.returncode == 0


def _guided(name: str, seconds: int, crashes: Path) -> list[str]:
    corpus, start = WORK / "corpus" / name, WORK / "seeds" / name
    for directory in (corpus, start):
        directory.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (start / f"{number:03}").write_bytes(seed)
    words = WORK / "words" / name
    words.parent.mkdir(exist_ok=True)
    words.write_text("".join(f'"{word}"\n' for word in (*field_names(name), "ordain")))
    limits = [f"-dict={words}", f"-max_total_time={seconds}", f"-timeout={HANG}", f"-rss_limit_mb={MEMORY}", f"-max_len={LARGEST}"]
    return ["tests.fuzz.guided", name, *limits, f"-artifact_prefix={crashes}/", str(corpus), str(start)]


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program


if __name__ == "__main__":
    main()
