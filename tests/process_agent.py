"""An agent that does nothing but run processes, as a process of its own that a test can kill: `python -m tests.process_agent DIR`.

It reads a line at a time: `want NAME…`, `start NAME`, `stop NAME`, `restart NAME`, `look`, `rest SECONDS`, `exec`, `close`.
It answers each with one line. A name is `<process>:<digest>`; the process prints its pid and sleeps.
"""

import json
import os
import sys
import time
from pathlib import Path

import msgspec

from agent.host import Host
from agent.logs import Log
from agent.processes.interface import Wanted
from agent.processes.supervisor import Supervisor
from agent.protocol.errors import OrdainError
from agent.protocol.state import CrashLoop, Process

SCRIPT = 'echo "$$" >> "$0"; exec sleep 600'


def wanted(directory: Path, word: str) -> Wanted:
    """Return what is wanted by a word such as `app:one`."""
    name, _, digest = word.partition(":")
    command = ["/bin/sh", "-c", SCRIPT, str(directory / f"{name}.pids")]
    return Wanted(process=Process(name=name, command=command, crash_loop=CrashLoop(starts=1000)), digest=digest)


def rested(seconds: float) -> dict[str, float]:
    """Return what this process takes while it does nothing: percent of a core, and resident megabytes."""
    begin, used = time.monotonic(), time.process_time()
    time.sleep(seconds)
    share = (time.process_time() - used) / (time.monotonic() - begin) * 100
    lines = Path("/proc/self/status").read_text().splitlines()
    return {"share": share, "memory": int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000}


def answer(supervisor: Supervisor, directory: Path, line: str) -> str:
    """Do what a line asks for, and return what to say."""
    verb, *words = line.split()
    try:
        match verb:
            case "want":
                supervisor.want({one.process.name: one for one in (wanted(directory, word) for word in words)})
            case "start":
                supervisor.start(words[0])
            case "stop":
                supervisor.stop(words[0])
            case "restart":
                supervisor.restart(words[0])
            case "look":
                return json.dumps({name: msgspec.to_builtins(seen) for name, seen in supervisor.look().items()})
            case "rest":
                return json.dumps(rested(float(words[0])))
            case "exec":
                os.execv(sys.executable, [sys.executable, "-m", "tests.process_agent", str(directory)])
            case "close":
                supervisor.close()
    except OrdainError as error:
        return f"error {error}"
    return "done"


def main() -> None:
    """Run until `close`, or until killed."""
    directory = Path(sys.argv[1])
    supervisor = Supervisor(directory / "processes", host=Host(Path("/")), log=Log())
    print("ready", flush=True)  # noqa: T201 - what it answers is for the test
    for line in sys.stdin:
        print(answer(supervisor, directory, line), flush=True)  # noqa: T201
        if line.strip() == "close":
            return


if __name__ == "__main__":
    main()
