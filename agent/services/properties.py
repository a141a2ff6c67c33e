"""A process of a release as the text of a unit, and a unit as the standing of a process. Pure.

https://www.freedesktop.org/software/systemd/man/latest/systemd.syntax.html, systemd.exec(5), systemd.service(5).
"""

import re
from collections.abc import Iterator
from math import ceil, log2
from pathlib import Path

from agent.processes import kin
from agent.processes.interface import Seen, Standing
from agent.processes.policy import LONGEST_WAIT, Rules, rules_of
from agent.processes.resolve import Launch
from agent.protocol import duration
from agent.protocol.errors import RefusedError
from agent.protocol.quantity import octets, percent
from agent.protocol.state import Process
from agent.services import seen as units

SLICE = "ordain.slice"
"""Where processes lie in the tree of control groups: beside the agent's own unit, not below it."""
RESTARTS = {"always": "always", "on-failure": "on-failure", "never": "no"}
"""Our words for when it is started again, and systemd's."""
ADDED = ("LANG", "SHELL", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE")
"""Variables that systemd adds of its own accord: a process has the same environment whoever runs it."""
DOUBLING = 254
"""The version since which systemd waits longer each time before it starts a unit again."""
FIELD = "ORDAIN_DIGEST"
"""The field of the journal that says, of each line of a process, for what it was started; systemd keeps it with the unit."""
_AT_ONCE = 0.001
"""Seconds that are as good as none: systemd takes 0 for no limit."""
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "%": "%%"}
DIGEST = re.compile(rf"{FIELD}=([0-9A-Za-z:._-]{{1,128}})")


def unit_text(process: Process, launch: Launch, *, digest: str, environment: Path, version: int) -> str:
    """Return the unit file of a process; `environment` is where its environment lies, `version` that of systemd, 0 for any.

    Raises:
        RefusedError: a path that can't be said to systemd.
        MalformedError: a limit or a duration that is none.
    """
    rules = rules_of(process)
    if DIGEST.fullmatch(f"{FIELD}={digest}") is None:
        message = f"process {process.name}: {digest[:40]!r} is no digest"
        raise ValueError(message)
    unit = [
        f"Description=Process {process.name} of ordain",
        f"StartLimitIntervalSec={rules.within:.0f}s",
        f"StartLimitBurst={rules.starts}",
    ]
    service = [
        *_running(process, launch, environment),
        *_logged(process.name, digest),
        *_restarting(rules, version),
        *_limits(process),
        *_confined(launch),
    ]
    return "".join(f"{line}\n" for line in ("[Unit]", *unit, "", "[Service]", *service))


def _running(process: Process, launch: Launch, environment: Path) -> Iterator[str]:
    program, *arguments = launch.command
    words = (_word(program), *(_word(argument).replace("$", "$$") for argument in arguments))
    yield from ("Type=exec", f"ExecStart={' '.join(words)}", f"Slice={SLICE}")
    yield from (
        "KillMode=mixed",
        f"KillSignal={process.stop_signal}",
        f"TimeoutStopSec={duration.seconds(process.stop_timeout) or _AT_ONCE}s",
    )
    account = launch.account
    yield from (f"{key}={value}" for key, value in (("User", account.uid), ("Group", account.gid)) if value is not None)
    yield f"WorkingDirectory={_specified(launch.directory)}"
    yield f"EnvironmentFile={_specified(str(environment))}"
    added = [name for name in ADDED if name not in process.environment]
    yield f"UnsetEnvironment={' '.join(added)}"


def _logged(name: str, digest: str) -> Iterator[str]:
    yield from (f"SyslogIdentifier={name}", f"LogExtraFields={FIELD}={digest}")


def _restarting(rules: Rules, version: int) -> Iterator[str]:
    yield f"Restart={RESTARTS[rules.restart]}"
    yield f"RestartSec={rules.back_off:.0f}s"
    if rules.restart != "always":
        yield "RemainAfterExit=yes"  # else it would be forgotten when it has ended well, and be taken for one that never ran
    if version >= DOUBLING and 0 < rules.back_off < LONGEST_WAIT:
        yield from (f"RestartSteps={ceil(log2(LONGEST_WAIT / rules.back_off))}", f"RestartMaxDelaySec={LONGEST_WAIT:.0f}s")


def _limits(process: Process) -> Iterator[str]:
    limits = process.limits
    yield from ("CPUAccounting=yes", "MemoryAccounting=yes")
    if limits.memory is not None:
        yield from (f"MemoryMax={octets(limits.memory)}", "OOMPolicy=kill")  # half a process tree helps nobody
    if limits.cpu is not None:
        yield f"CPUQuota={percent(limits.cpu)}%"
    if limits.processes is not None:
        yield f"TasksMax={limits.processes}"
    if limits.open_files is not None:
        yield f"LimitNOFILE={limits.open_files}"


def _confined(launch: Launch) -> Iterator[str]:
    if launch.no_new_privileges:
        yield "NoNewPrivileges=yes"
    yield from (f"ReadOnlyPaths={_word(path)}" for path in launch.read_only)
    uid, gid = launch.account.uid or 0, launch.account.gid or 0
    yield from (f"TemporaryFileSystem={_word(f'{_plain(path)}:mode=0700,uid={uid},gid={gid}')}" for path in launch.private)


def environment_file(launch: Launch) -> str:
    """Return the content of the file that systemd reads a process's environment from; every value stands in quotes.

    Raises:
        RefusedError: a value that no such file can hold.
    """
    return "".join(f'{name}="{_value(name, value)}"\n' for name, value in sorted(launch.environment.items()) if name != kin.VARIABLE)


def _value(name: str, value: str) -> str:
    if any(ord(character) < ord(" ") and character not in "\t\n" for character in value):
        message = f"environment variable {name} holds a control character, which systemd does not pass on; take it out"
        raise RefusedError(message)
    return re.sub(r'(["\\$`])', r"\\\1", value)


def _word(text: str) -> str:
    """Return one word of a line that means itself: in quotes, with nothing in it that systemd would read as more."""
    return '"' + "".join(_ESCAPED.get(character) or _shown(character) for character in text) + '"'


def _shown(character: str) -> str:
    return character if character >= " " and character != "\x7f" else f"\\x{ord(character):02x}"


def _specified(text: str) -> str:
    """Return the rest of a line that means itself."""
    return text.replace("%", "%%")


def _plain(path: str) -> str:
    if re.search(r"[:\"'\\]", path):
        message = f"private path {path}: systemd can't have an empty directory with a colon, a quote or a backslash in its name"
        raise RefusedError(message)
    return path


def seen_of(unit: units.Seen) -> Seen:
    """Return how the process of a unit stands."""
    standing = _standing(unit)
    runs = standing == "running"
    digest = DIGEST.fullmatch(unit.log_fields)
    return Seen(
        standing=standing,
        digest=digest[1] if digest else None,
        pid=unit.pid if runs else None,
        since=unit.since,
        restarts=unit.restarts,
        cpu_seconds=unit.cpu / 1e9 if runs and unit.cpu is not None else None,
        rss_bytes=unit.memory if runs else None,
        why=_why(unit, standing),
    )


def _standing(unit: units.Seen) -> Standing:
    """Return how it stands. A signal is a failure, though systemd takes SIGTERM for a good end: who looks is to start it again."""
    if unit.active == "activating" and unit.sub.startswith("auto-restart"):
        return "waiting"
    if unit.active == "failed":
        return "ended" if unit.restart == "no" else "looping"
    if unit.active == "active" and unit.sub == "exited":
        return "stopped" if unit.by_signal and unit.restart != "no" else "ended"
    return "running" if unit.runs or unit.active == "deactivating" else "stopped"


def _why(unit: units.Seen, standing: Standing) -> str:
    if standing == "running" or not unit.since:
        return ""
    ended = f"ended by signal {unit.status}" if unit.by_signal else f"ended with {unit.status}"
    if unit.result not in ("success", "exit-code", "signal", "core-dump", "start-limit-hit"):
        ended = f"{ended} ({unit.result})"
    return f"{ended}; started too often within too short" if standing == "looping" else ended
