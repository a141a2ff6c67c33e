"""Staged unit files and containers, judged by the real systemd-analyze and by Podman's generator, or by what it was heard to say."""

from pathlib import Path

import pytest

from agent.commands import Commands
from agent.host import Host
from agent.protocol.errors import RefusedError
from agent.providers.item import Item
from agent.services.verify import Tools, UnitError, find_generator, verify

UNIT = "/etc/systemd/system/web.service"
CONTAINER = "/etc/containers/systemd/edge.container"
IMAGE = f"Image=registry.example.com/edge@sha256:{'a' * 64}"
HOST = Host(Path("/"))

systemd_analyze = pytest.mark.needs("systemd-analyze")


def file(path: str, content: str) -> Item:
    return Item(path=path, provider="files", kind="file", mode=0o644, content=content.encode())


def judge(*items: Item, changing: tuple[str, ...] = (), generator: Path | None = None) -> None:
    """Ask about items of which all, or those that are `changing`, are staged."""
    paths = changing or tuple(item.path for item in items)
    tools = Tools(commands=Commands(), generator=generator)
    verify({item.path: item for item in items}, dict.fromkeys(paths, "/no/such"), host=HOST, tools=tools)


@systemd_analyze
def test_a_unit_that_is_well_formed_is_taken() -> None:
    judge(file(UNIT, "[Service]\nExecStart=/bin/sleep 1\n[Install]\nWantedBy=multi-user.target\n"))


@systemd_analyze
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[Service]\nExecStart=/bin/true\nRestrt=no\n", rf"{UNIT}:3: Unknown key 'Restrt'"),
        ("[Service]\nExecStart=bin/true\n", rf"{UNIT}:2: Neither a valid executable name nor an absolute path: bin/true"),
        ("[Service]\nExecStart=/bin/true\nType=notfy\n", rf"{UNIT}:3: Failed to parse service type"),
        ("[Service]\nUser=app\n", "Service has no ExecStart="),
        ("[Service]\nExecStart=/opt/web/bin/web\n", "Command /opt/web/bin/web is not executable"),
        ("[Unit]\nRequires=no-such.service\n[Service]\nExecStart=/bin/true\n", "Unit no-such.service not found"),
    ],
)
def test_a_unit_that_systemd_would_not_take_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(UnitError, match=rf"systemd would not take this release's units as they are: .*{said}"):
        judge(file(UNIT, text))


@systemd_analyze
def test_what_systemd_only_advises_refuses_nothing() -> None:
    judge(file(UNIT, "[Service]\nUser=nobody\nKillMode=none\nStandardOutput=syslog\nPIDFile=/var/run/web.pid\nExecStart=/bin/sleep 1\n"))


@systemd_analyze
def test_a_timer_is_asked_about_too() -> None:
    timer = "/etc/systemd/system/web.timer"
    with pytest.raises(UnitError, match=rf"{timer}:2: Failed to parse calendar specification"):
        judge(file(UNIT, "[Service]\nExecStart=/bin/true\n"), file(timer, "[Timer]\nOnCalendar=never\n"))


@systemd_analyze
def test_units_of_one_release_may_need_one_another_and_programs_that_come_with_it() -> None:
    other = "/etc/systemd/system/db.service"
    judge(
        file(UNIT, "[Unit]\nRequires=db.service\n[Service]\nExecStart=/opt/web/bin/web --all\n"),
        file(other, "[Service]\nExecStart=/opt/db\n"),
        file("/opt/db", "#!/bin/sh\n"),
        Item(path="/opt/web", provider="artifacts", kind="tree"),
    )


@systemd_analyze
def test_a_drop_in_is_judged_together_with_its_unit() -> None:
    drop_in = f"{UNIT}.d/10-limits.conf"
    unit = file(UNIT, "[Service]\nExecStart=/bin/true\n")
    judge(unit, file(drop_in, "[Service]\nMemoryMax=1G\n"))
    with pytest.raises(UnitError, match=rf"{drop_in}:2: Unknown key 'MemoryMaxx'"):
        judge(unit, file(drop_in, "[Service]\nMemoryMaxx=1G\n"), changing=(drop_in,))


@systemd_analyze
def test_what_is_no_unit_is_not_asked_about() -> None:
    judge(file("/etc/systemd/system/service.d/10-all.conf", "[Service]\nTasksMax=50\n"), file("/etc/systemd/system/README", "Words.\n"))


@systemd_analyze
def test_a_template_is_asked_about_too() -> None:
    with pytest.raises(UnitError, match=r"web@\.service:2: Unknown key 'ExecStrat'"):
        judge(file("/etc/systemd/system/web@.service", "[Service]\nExecStrat=/bin/sleep %i\nExecStart=/bin/sleep %i\n"))


@systemd_analyze
def test_what_does_not_change_is_not_judged_again() -> None:
    old = file("/etc/systemd/system/old.service", "[Service]\nExecStart=/bin/true\nOdd=1\n")
    judge(file(UNIT, "[Unit]\nWants=old.service\n[Service]\nExecStart=/bin/true\n"), old, changing=(UNIT,))


@pytest.mark.needs("quadlet")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"[Container]\n{IMAGE}\nPublishPorrt=80:80\n", f"unsupported key 'PublishPorrt' in group 'Container' in {CONTAINER}"),
        ("[Container]\nContainerName=edge\n", "no Image or Rootfs key specified"),
        ("rubbish\n", f'error loading "{CONTAINER}", file contains line 1'),
        (f"[Container]\n{IMAGE}\nVolume=data.volume:/data\n", "requested Quadlet source data.volume was not found"),
    ],
)
def test_a_container_that_podman_would_not_take_is_refused_with_its_words(text: str, said: str) -> None:
    good = file("/etc/containers/systemd/good.container", f"[Container]\n{IMAGE}\n")
    judge(good, generator=find_generator())
    with pytest.raises(UnitError, match="Podman would not take this release's containers as they are") as refused:
        judge(good, file(CONTAINER, text), changing=(CONTAINER,), generator=find_generator())
    assert said in str(refused.value)


HEARD = """#!/bin/sh
# What quadlet of Podman 5.4.2 was heard to say, when asked with -dryrun, of files with a key that it doesn't know.
[ "$1" = -dryrun ] || exit 2
for file in "$QUADLET_UNIT_DIRS"/*.container; do
  echo "quadlet-generator[30889]: Loading source unit file $file" >&2
done
status=0
for file in $(grep -l PublishPorrt "$QUADLET_UNIT_DIRS"/*.container); do
  echo "quadlet-generator[30889]: converting \\"${file##*/}\\": unsupported key 'PublishPorrt' in group 'Container' in $file" >&2
  status=1
done
exit $status
"""


@pytest.fixture
def heard(tmp_path: Path) -> Path:
    path = tmp_path / "quadlet"
    path.write_text(HEARD)
    path.chmod(0o755)
    return path


def test_what_podman_says_of_a_container_that_changes_refuses_it(heard: Path) -> None:
    bad = file(CONTAINER, f"[Container]\n{IMAGE}\nPublishPorrt=80:80\n")
    good = file("/etc/containers/systemd/good.container", f"[Container]\n{IMAGE}\n")
    judge(bad, good, changing=(good.path,), generator=heard)
    with pytest.raises(UnitError) as refused:
        judge(bad, good, generator=heard)
    assert str(refused.value) == (
        "Podman would not take this release's containers as they are: "
        f"converting \"edge.container\": unsupported key 'PublishPorrt' in group 'Container' in {CONTAINER}"
    )


def test_a_container_is_refused_where_no_podman_can_be_asked() -> None:
    with pytest.raises(RefusedError, match=r"edge.container: this host has no Podman that knows containers as units; install podman 5"):
        judge(file(CONTAINER, f"[Container]\n{IMAGE}\n"))


def test_nothing_is_asked_below_a_directory_that_is_no_whole_machine(tmp_path: Path) -> None:
    item = file(CONTAINER, "rubbish\n")
    verify({item.path: item}, {item.path: "/no/such"}, host=Host(tmp_path))
