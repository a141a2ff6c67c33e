"""Settings of the kernel: written now, and at boot by a line in sysctl.d. One that leaves the release stays as it is.

A value is written to the kernel first: one that it refuses does not wait in a file for the next boot. White space between
numbers counts as one, for the kernel prints tabs where people write spaces.
"""

import errno
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent.host import Host
from agent.protocol.errors import RefusedError
from agent.protocol.state import Sysctl
from agent.providers import texts
from agent.providers.fix import Fix

PROVIDER = "kernelSettings"
PATH = "/etc/sysctl.d/90-ordain.conf"
HEADER = "# Written by ordain: settings that a release asks for, or asked for.\n"
LIVE = Path("/proc/sys")
"""Where the kernel has its settings."""
_NAME = re.compile(r"[a-z0-9_-]+(\.[A-Za-z0-9_:/@-]+)+")


def fixes(wanted: Sequence[Sysctl], *, host: Host, live: Path | None, modules_come: bool = False) -> list[Fix]:
    """Return what gives settings their values; `live` is None where there is no kernel to ask, as under a root.

    `modules_come` says that modules are loaded first, which may bring settings that are not there yet.

    Raises:
        RefusedError: a setting that this kernel does not have, that can't be read, or that can't be written here (containers).
    """
    at_boot = _at_boot(host)
    found = []
    for setting in wanted:
        _require(setting)
        value = None if live is None else _read(setting, live, may_come=modules_come)
        why = differences(setting, value=value, at_boot=at_boot, has_kernel=live is not None)
        if live is not None and value is not None and _words(value) != _words(setting.value):
            _require_writable(setting, live)
        if why:
            carry_out = _carry_out(setting, host, live)
            found.append(Fix(provider=PROVIDER, resource=f"sysctl/{setting.name}", why=why, carry_out=carry_out))
    return found


def differences(setting: Sysctl, *, value: str | None, at_boot: Mapping[str, str], has_kernel: bool) -> tuple[str, ...]:
    """Return in what a setting differs from what is wanted; `value` is the kernel's, None where it has none yet. Pure."""
    why = []
    if has_kernel and (value is None or _words(value) != _words(setting.value)):
        why.append(f"{setting.name} is {'not there yet' if value is None else _words(value)}, not {_words(setting.value)}")
    if _words(at_boot.get(setting.name, "")) != _words(setting.value):
        why.append(f"{setting.name} is not set at boot")
    return tuple(why)


def _words(value: str) -> str:
    return " ".join(value.split())


def _require(setting: Sysctl) -> None:
    if not _NAME.fullmatch(setting.name) or any(part in ("", ".", "..") for part in _place(setting).parts):
        message = f"kernel setting {setting.name[:80]!r}: a name is as `sysctl -a` prints it, such as net.core.somaxconn"
        raise RefusedError(message)
    if not setting.value.replace("\t", " ").isprintable() or not setting.value.strip():
        message = f"kernel setting {setting.name}: its value is empty or has a character that can't be printed"
        raise RefusedError(message)


def _place(setting: Sysctl) -> Path:
    """Return where a setting lies below /proc/sys: dots part its names, and a slash stands for a dot within one."""
    return Path(setting.name.translate(str.maketrans("./", "/.")))


def _read(setting: Sysctl, live: Path, *, may_come: bool) -> str | None:
    try:
        return (live / _place(setting)).read_text()
    except FileNotFoundError as error:
        if may_come:
            return None
        message = f"{setting.name}: this kernel has no such setting; does a module bring it?"
        raise RefusedError(message) from error
    except (OSError, UnicodeDecodeError) as error:
        message = f"{setting.name} can't be read, so it can't be held to a value: {error}"
        raise RefusedError(message) from error


def _require_writable(setting: Sysctl, live: Path) -> None:
    if not os.access(live / _place(setting), os.W_OK):
        message = f"{setting.name} can't be written here: in a container, set it on the machine that runs the container"
        raise RefusedError(message)


def _carry_out(setting: Sysctl, host: Host, live: Path | None) -> Callable[[], None]:
    def carry_out() -> None:
        if live is not None:
            _write(setting, live)
        values = _at_boot(host)
        if _words(values.get(setting.name, "")) != _words(setting.value):
            lines = "".join(f"{name} = {value}\n" for name, value in sorted({**values, setting.name: _words(setting.value)}.items()))
            texts.put(host, PATH, (HEADER + lines).encode())

    return carry_out


def _write(setting: Sysctl, live: Path) -> None:
    old = _read(setting, live, may_come=False)
    if old is not None and _words(old) == _words(setting.value):
        return
    try:
        (live / _place(setting)).write_text(setting.value + "\n")
    except OSError as error:
        said = "it is read-only here" if error.errno == errno.EROFS else error.strerror
        message = f"{setting.name}: the kernel refuses {setting.value!r}: {said}"
        raise RefusedError(message) from error
    taken = _words((live / _place(setting)).read_text())
    if taken != _words(setting.value):
        message = f"{setting.name}: the kernel made {taken!r} of {setting.value!r}; write what it makes of it"
        raise RefusedError(message)


def _at_boot(host: Host) -> dict[str, str]:
    content, _ = texts.read(host, PATH)
    lines = [line for line in (content or b"").decode(errors="replace").splitlines() if "=" in line and not line.startswith(("#", ";"))]
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
