"""Modules of the kernel: loaded now, and at boot by a line in modules-load.d. One that leaves the release stays."""

import platform
import re
from collections.abc import Callable, Sequence

from agent.commands import Commands
from agent.host import Host
from agent.protocol.errors import RefusedError
from agent.protocol.state import Module
from agent.providers import texts
from agent.providers.fix import Fix

PROVIDER = "kernelSettings"
PATH = "/etc/modules-load.d/90-ordain.conf"
HEADER = "# Written by ordain: modules that a release asks for.\n"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def fixes(wanted: Sequence[Module], *, host: Host, run: Commands) -> list[Fix]:
    """Return what loads the modules that are not, and what has them loaded at boot. Under a root, only the latter.

    Raises:
        RefusedError: the kernel has no such module, or this is a container that may load none.
    """
    found = []
    for module in wanted:
        _require_name(module)
        why = differences(module, loaded=_is_loaded(module, host), at_boot=_at_boot(host))
        if host.is_whole_machine and not _is_loaded(module, host):
            _require_loadable(module, run)
        if why:
            found.append(Fix(provider=PROVIDER, resource=f"module/{module.name}", why=why, carry_out=_carry_out(module, host, run)))
    return found


def differences(module: Module, *, loaded: bool, at_boot: Sequence[str]) -> tuple[str, ...]:
    """Return in what a module differs from what is wanted. Pure."""
    why = [] if loaded else [f"module {module.name} is not loaded"]
    return tuple(why if module.name in at_boot else [*why, f"module {module.name} is not loaded at boot"])


def _require_name(module: Module) -> None:
    if not _NAME.fullmatch(module.name):
        message = f"module {module.name[:80]!r}: a name has letters, digits, _ and -"
        raise RefusedError(message)


def _require_loadable(module: Module, run: Commands) -> None:
    ended = run.run("modprobe", "--dry-run", "--", module.name)
    if ended.code != 0:
        message = f"module {module.name} can't be loaded into this kernel: {ended.failure}"
        raise RefusedError(message)


def _is_loaded(module: Module, host: Host) -> bool:
    """Return whether the kernel has it; in a root there is no kernel, so nothing to do."""
    if not host.is_whole_machine:
        return True
    name = module.name.replace("-", "_")
    if host.observe(f"/sys/module/{name}").kind != "absent":
        return True
    path = f"/lib/modules/{platform.release()}/modules.builtin"
    content, _ = texts.read(host, path)
    return any(line.endswith(f"/{name}.ko".encode()) for line in (content or b"").replace(b"-", b"_").splitlines())


def _at_boot(host: Host) -> list[str]:
    content, _ = texts.read(host, PATH)
    return [line for line in (content or b"").decode(errors="replace").splitlines() if line and not line.startswith("#")]


def _carry_out(module: Module, host: Host, run: Commands) -> Callable[[], None]:
    def carry_out() -> None:
        if not _is_loaded(module, host):
            ended = run.run("modprobe", "--", module.name)
            if ended.code != 0:
                message = f"module {module.name}: {ended.failure}"
                raise RefusedError(message)
        names = _at_boot(host)
        if module.name not in names:
            lines = "".join(f"{name}\n" for name in sorted({*names, module.name}))
            texts.put(host, PATH, (HEADER + lines).encode())

    return carry_out
