"""What a command that only looks says of processes while no agent looks after them."""

import os
import subprocess
from pathlib import Path

import pytest

from agent.host import Host
from agent.processes import kin
from agent.processes.onlooker import Onlooker
from agent.processes.records import Record, Records, boot_id
from agent.protocol.state import Process


@pytest.mark.parametrize("ended", [False, True])
def test_what_has_ended_and_nobody_reaped_does_not_run(tmp_path: Path, *, ended: bool) -> None:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        alive = kin.read(child.pid)
        assert alive is not None
        process = Process(name="app", command=["/bin/cat"])
        record = Record(boot=boot_id(), digest="one", standing="running", process=process, pid=child.pid, began=alive.began)
        Records(tmp_path / "records").put("app", record)
        if ended:
            child.kill()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        seen = Onlooker(tmp_path, host=Host(tmp_path)).look()["app"]
        child.kill()
    assert (seen.standing, seen.pid) == (("stopped", None) if ended else ("running", child.pid))
