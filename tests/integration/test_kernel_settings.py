"""Kernel settings against a real kernel, in a network namespace of the test's own, so that the machine's stay as they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands import Commands
from agent.host import Host
from agent.protocol.errors import RefusedError
from agent.protocol.state import Module, Sysctl
from agent.providers import modules, sysctls

NAMESPACE = ["unshare", "--net", "--mount"]
"""Network settings are each namespace's own; /proc/sys shows those of whoever looks."""
HOLD = """
import sys
from pathlib import Path
from agent.host import Host
from agent.protocol.errors import RefusedError
from agent.protocol.state import Sysctl
from agent.providers import sysctls
host, live = Host(Path(sys.argv[1])), Path("/proc/sys")
for argument in sys.argv[2:]:
    name, _, value = argument.partition("=")
    wanted = [Sysctl(name=name, value=value)]
    try:
        for fix in sysctls.fixes(wanted, host=host, live=live):
            print("fix:", *fix.why)
            fix.carry_out()
        print("left:", len(sysctls.fixes(wanted, host=host, live=live)))
    except RefusedError as error:
        print("refused:", error)
"""


def possible() -> bool:
    """Say whether there can be such a namespace here, and /proc/sys is not read-only as in most containers."""
    script = "cat /proc/sys/net/ipv4/ip_forward >/proc/sys/net/ipv4/ip_forward"
    return os.geteuid() == 0 and subprocess.run([*NAMESPACE, "sh", "-c", script], capture_output=True, check=False).returncode == 0


namespaces = pytest.mark.skipif(not possible(), reason="only root makes a network namespace whose settings it may write")


def hold(root: Path, *settings: str) -> list[str]:
    said = subprocess.run([*NAMESPACE, sys.executable, "-c", HOLD, str(root), *settings], check=True, capture_output=True, text=True)
    return said.stdout.splitlines()


@namespaces
def test_a_setting_is_written_to_the_kernel_and_for_the_next_boot_and_then_left_alone(tmp_path: Path) -> None:
    said = hold(tmp_path, "net.ipv4.ip_local_port_range=20000 30000", "net.ipv4.ip_forward=1")
    assert said[0].endswith("not 20000 30000 net.ipv4.ip_local_port_range is not set at boot")
    assert [line for line in said if line.startswith("left")] == ["left: 0", "left: 0"]
    lines = (tmp_path / "etc/sysctl.d/90-ordain.conf").read_text().splitlines()
    assert lines[1:] == ["net.ipv4.ip_forward = 1", "net.ipv4.ip_local_port_range = 20000 30000"]


@namespaces
def test_a_value_that_the_kernel_refuses_is_a_clear_error_and_does_not_wait_for_the_next_boot(tmp_path: Path) -> None:
    said = hold(tmp_path, "net.ipv4.ip_local_port_range=30000 20000", "net.core.somaxconn=many", "net.core.nothing=1")
    refusals = [line for line in said if line.startswith("refused")]
    assert refusals == [
        "refused: net.ipv4.ip_local_port_range: the kernel refuses '30000 20000': Invalid argument",
        "refused: net.core.somaxconn: the kernel refuses 'many': Invalid argument",
        "refused: net.core.nothing: this kernel has no such setting; does a module bring it?",
    ]
    assert not (tmp_path / "etc").exists()


@namespaces
def test_a_container_whose_kernel_settings_are_read_only_is_told_so_before_anything_is_touched(tmp_path: Path) -> None:
    script = f'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec {sys.executable} -c "$0" "$@"'
    argv = [*NAMESPACE, "sh", "-c", script, HOLD, str(tmp_path), "net.core.somaxconn=1234"]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert said == "refused: net.core.somaxconn can't be written here: in a container, set it on the machine that runs the container\n"


def test_a_setting_that_a_module_brings_first_is_no_reason_to_refuse(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    wanted = [Sysctl(name="net.bridge.bridge-nf-call-iptables", value="1")]
    (fix,) = sysctls.fixes(wanted, host=Host(tmp_path), live=tmp_path / "live", modules_come=True)
    with pytest.raises(RefusedError, match="this kernel has no such setting"):
        fix.carry_out()


def test_a_module_that_this_kernel_does_not_have_is_refused_before_anything_is_touched() -> None:
    with pytest.raises(RefusedError, match=r"no_such_module_at_all can't be loaded into this kernel|modprobe can't be run"):
        modules.fixes([Module(name="no_such_module_at_all")], host=Host(Path("/")), run=Commands())
