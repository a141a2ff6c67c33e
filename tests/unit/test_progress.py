"""A long check says on a terminal what it is at, and nothing anywhere else."""

import os
import pty
import subprocess
import sys

PROGRAM = """
import sys, time
from reconciler.cli.progress import Progress
with Progress() as told:
    told("reading manifests: 500 of 1,000")
    time.sleep(float(sys.argv[1]))
    told("compiling and judging 1,000 manifests")
    time.sleep(0.3)
print("done")
"""


def _on_a_terminal(seconds: float) -> tuple[str, str]:
    """Run the program with a terminal as stderr; return what it wrote to stdout and to the terminal."""
    shown, terminal = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, str(seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=terminal, env={**os.environ, "TERM": "xterm"})
    os.close(terminal)
    seen = b""
    while True:
        try:
            piece = os.read(shown, 65536)
        except OSError:  # what Linux says at the end of a terminal
            break
        if not piece:
            break
        seen += piece
    os.close(shown)
    return done.stdout.decode(), seen.decode()


def test_after_a_second_a_terminal_shows_what_is_being_done_and_then_forgets_it() -> None:
    printed, seen = _on_a_terminal(1.6)
    assert printed == "done\n"
    assert "reading manifests: 500 of 1,000" in seen
    assert "compiling and judging 1,000 manifests" in seen
    assert seen.rstrip().endswith(("\x1b[2K", "\x1b[?25h", "\x1b[K", "\r"))


def test_what_is_done_within_a_second_says_nothing() -> None:
    assert _on_a_terminal(0) == ("done\n", "")


def test_without_a_terminal_nothing_is_said_however_long_it_takes() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, "1.3"], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
