"""Runs `ordain check`, or the agent's unpacker, each time in a process of its own, and measures what that took.

`python -m tests.hostile_runs` imports everything once and then forks for each line that it is given: so many runs fit into the
tests, and the peak of one is not that of another.
"""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reconciler.opa.program import find_opa

KILOBYTES, MEGABYTE = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: exit code, what it printed, processor seconds (its own and its children's), bytes of memory above the start.

    `opa` are the bytes that OPA, or another child, held at its peak, or this process when it started one if that is more; they are no
    part of `memory`.
    """

    code: int
    output: str
    seconds: float
    memory: int
    opa: int


class Runs:
    """A process that forks for each run; a context manager."""

    def __init__(self, *, cache: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile_runs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": str(cache), "ORDAIN_OPA": str(find_opa(None))},
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the process."""
        self._process.communicate("")

    def check(self, root: Path, *options: str) -> Run:
        """Run `ordain check` on a directory."""
        return self._asked(["check", str(root), *options])

    def unpack(self, file: Path, form: str, limit: int, into: Path) -> Run:
        """Unpack an archive as an agent does."""
        return self._asked(["unpack", str(file), form, str(limit), str(into)])

    def _asked(self, command: Sequence[str]) -> Run:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return Run(**json.loads(self._process.stdout.readline()))


def serve() -> None:
    """Fork for each line of stdin: a command and its arguments as a JSON list."""
    from reconciler.cli import judging, outcomes  # noqa: F401, PLC0415 - what check imports when it needs it

    for line in sys.stdin:
        print(json.dumps(_measured(json.loads(line))), flush=True)  # noqa: T201 - the answer


def _measured(command: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as peak:
        child = os.fork()
        if child == 0:
            _run(command, output.fileno(), peak.fileno())
        _, status, used = os.wait4(child, 0)
        for file in (output, peak):
            file.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "output": output.read().decode(errors="replace"),
            "seconds": used.ru_utime + used.ru_stime,
            **json.loads(peak.read() or '{"memory": 0, "opa": 0}'),
        }


def _run(command: list[str], output: int, peak: int) -> None:
    """Run one command in this process, which ends with it."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of what was forked
    before = _status("VmRSS")
    code = 70
    try:
        code = _check(command) if command[0] == "check" else _unpack(*command[1:])
    finally:
        sys.stdout.flush()
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * KILOBYTES
        os.write(peak, json.dumps({"memory": _status("VmHWM") - before, "opa": children}).encode())
        os._exit(code)


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s+([0-9]+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * KILOBYTES


def _check(command: list[str]) -> int:
    from reconciler.cli import main  # noqa: PLC0415 - the agent's unpacker is run without it

    sys.argv = ["ordain", *command]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _unpack(file: str, form: Any, limit: str, into: str) -> int:
    from agent.archives.trees import Builder  # noqa: PLC0415
    from agent.archives.unpack import unpack  # noqa: PLC0415
    from agent.protocol.errors import MalformedError  # noqa: PLC0415

    Path(into).mkdir()
    directory = os.open(into, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with Path(file).open("rb") as stream:
            unpack(stream, form, Builder(directory, (None, None)), limit=int(limit))
    except MalformedError as refusal:
        os.write(1, str(refusal).encode())
        return 1
    return 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve()
