"""What an agent leaves out of memory, it can still have."""

import subprocess
import sys

LEAN = """
import io, sys
from agent.lean import NEVER, ZSTD, leave_out
leave_out()
import agent.loop
from agent.archives.streams import unzstd
assert not any(sys.modules[name] for name in (*NEVER, ZSTD)), "something was loaded all the same"
packed = bytes.fromhex("28b52ffd2405290000686f737473269d1115")
print(b"".join(unzstd(io.BytesIO(packed))).decode())
"""


def test_an_agent_imports_what_it_leaves_out_once_an_archive_needs_it() -> None:
    done = subprocess.run([sys.executable, "-c", LEAN], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("hosts\n", "")
