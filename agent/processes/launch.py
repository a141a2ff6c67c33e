"""The last steps before a process's program: taken by a small interpreter of its own, which that program then replaces.

Run as `python -I -S launch.py`, so it imports nothing of ordain's and little of Python's: it must be there in milliseconds.
Standard input holds the plan (a dictionary, marshalled by the same interpreter), standard output is a socket to the agent,
standard error is the process's output already. Lines to the agent are `note <text>` and `fail <text>`. The program is executed
only after the agent, which has written a record of this pid first, sent a byte; without an agent to send it, all ends here: so
nothing runs that no agent knows of. That the program began is told by the socket, which closes by itself.
"""

import marshal
import os
import resource
import signal
from typing import Any

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 19
AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = -100, 0x8000, 1
SYS_MOUNT_SETATTR = 442
"""The same number on all architectures."""
PR_SET_NO_NEW_PRIVS = 38
ENDED = 126
"""The exit status of a launch that came to nothing; shells use it for what can't be executed."""


class StepError(Exception):
    """A step without which the program must not run."""


def main() -> None:
    """Take the steps, wait for the agent's word, and execute."""
    plan: dict[str, Any] = marshal.loads(os.pread(0, os.fstat(0).st_size, 0))  # noqa: S302 - in memory that only the agent wrote
    agent = os.dup(1)
    os.dup2(2, 1)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    try:
        _prepare(plan, agent)
        if os.read(agent, 1):
            _execute(plan)
    except OSError as error:
        _tell(agent, "fail", f"{error.filename or 'its launch'}: {error.strerror}")
    except StepError as error:
        _tell(agent, "fail", str(error))
    os._exit(ENDED)


def _prepare(plan: dict[str, Any], agent: int) -> None:
    """Give up, step by step, what the program must not have; what needs privileges comes first."""
    _close_others(agent)
    os.setsid()
    _reset_signals()
    os.umask(0o022)
    _join_group(plan, agent)
    _be_ordinary_to_the_oom_killer()
    _limit(plan, agent)
    _arrange_mounts(plan, agent)
    if plan["no_new_privileges"]:  # while this interpreter can still be read: its user may not be let into where that lies
        _require_zero(_libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "noNewPrivileges")
    _become(plan)
    try:
        os.chdir(plan["directory"])
    except OSError as error:
        message = f"working directory {plan['directory']}: {error.strerror}"
        raise StepError(message) from error


def _execute(plan: dict[str, Any]) -> None:
    command = plan["command"]
    try:
        os.execvpe(command[0], command, plan["environment"])  # noqa: S606 - no shell, on purpose
    except OSError as error:
        message = f"{command[0]}: {error.strerror}"
        raise StepError(message) from error


def _tell(agent: int, kind: str, text: str) -> None:
    try:
        os.write(agent, f"{kind} {text}".replace("\n", " ").encode(errors="replace") + b"\n")
    except OSError:
        os._exit(ENDED)  # the agent is gone: nobody is left to tell


def _close_others(agent: int) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - pathlib would cost milliseconds
        if int(name) > 2 and int(name) != agent:  # noqa: PLR2004 - the standard streams
            try:
                os.close(int(name))
            except OSError:
                continue  # the one by which the names were listed


def _reset_signals() -> None:
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _join_group(plan: dict[str, Any], agent: int) -> None:
    if not plan["group"]:
        return
    try:
        _write(plan["group"] + "/cgroup.procs", "0")
    except OSError as error:
        _tell(agent, "note", f"it is in no control group, so limits that need one are not kept: {error.strerror}")


def _be_ordinary_to_the_oom_killer() -> None:
    try:
        _write("/proc/self/oom_score_adj", "0")
    except OSError:
        return  # it keeps the agent's, which it may not lower


def _limit(plan: dict[str, Any], agent: int) -> None:
    for number, most, said in plan["limits"]:
        try:
            resource.setrlimit(number, (most, most))
        except (OSError, ValueError) as error:
            _tell(agent, "note", f"the limit {said}, can't be kept: {error}")


def _become(plan: dict[str, Any]) -> None:
    try:
        if plan["groups"] is not None:
            os.setgroups(plan["groups"])
        if plan["gid"] is not None:
            os.setresgid(plan["gid"], plan["gid"], plan["gid"])
        if plan["uid"] is not None:
            os.setresuid(plan["uid"], plan["uid"], plan["uid"])
    except OSError as error:
        message = f"user {plan['uid']} and group {plan['gid']} can't be set: {error.strerror}"
        raise StepError(message) from error


# Mounts


def _arrange_mounts(plan: dict[str, Any], agent: int) -> None:
    """Make paths read-only and others empty, in mounts of its own; where the kernel gives it none, say so and go on."""
    if not plan["read_only"] and not plan["private"]:
        return
    try:
        _leave_mounts()
    except OSError as error:
        _tell(agent, "note", f"readOnlyPaths and privatePaths are not kept: no mounts of its own here ({error.strerror})")
        return
    uid = os.geteuid() if plan["uid"] is None else plan["uid"]
    gid = os.getegid() if plan["gid"] is None else plan["gid"]
    for path in plan["read_only"]:
        _make_read_only(path)
    for path in plan["private"]:
        _mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=0700,uid={uid},gid={gid}")


def _leave_mounts() -> None:
    """Get mounts of our own: as root, or else in a user namespace in which we stay who we are."""
    uid, gid = os.geteuid(), os.getegid()
    if _libc().unshare(CLONE_NEWNS) != 0:
        _require_zero(_libc().unshare(CLONE_NEWUSER | CLONE_NEWNS), "")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    _mount("none", "/", None, MS_REC | MS_SLAVE, None)


def _make_read_only(path: str) -> None:
    if path != "/":
        _mount(path, path, None, MS_BIND | MS_REC, None)
    attributes = MOUNT_ATTR_RDONLY.to_bytes(8, "little") + bytes(24)  # struct mount_attr: set, clear, propagation, namespace
    if _libc().syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE, attributes, len(attributes)) != 0:
        kept = os.statvfs(path).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)  # before Linux 5.12: what is mounted below stays writable
        _mount("none", path, None, MS_REMOUNT | MS_BIND | MS_RDONLY | kept, None)


def _mount(source: str, path: str, kind: str | None, flags: int, data: str | None) -> None:
    words = [None if word is None else word.encode() for word in (kind, data)]
    _require_zero(_libc().mount(source.encode(), path.encode(), words[0], flags, words[1]), path)


def _require_zero(result: int, what: str) -> None:
    if result != 0:
        number = _ctypes().get_errno()
        raise OSError(number, os.strerror(number), what)


def _libc() -> Any:
    return _ctypes().CDLL(None, use_errno=True)


def _ctypes() -> Any:
    import ctypes  # noqa: PLC0415 - some milliseconds, for those who need it only

    return ctypes


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
