"""A run that lacks a real part must not look like one that tested everything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDS_GIT = "tests/unit/test_hygiene.py::test_every_module_is_named_after_its_subject"


def _run_without_git(tmp_path: Path, *options: str, ci: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:cov", *options, NEEDS_GIT]
    without = os.environ | {"PATH": str(tmp_path), "CI": ci}
    return subprocess.run(command, cwd=ROOT, env=without, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("options", [(), ("--numprocesses", "1")], ids=["one process", "a worker"])
def test_the_end_of_a_run_names_a_missing_part_and_what_to_do(tmp_path: Path, options: tuple[str, ...]) -> None:
    run = _run_without_git(tmp_path, *options, ci="")
    assert run.returncode == 0
    assert "NOT TESTED: git is missing, 1 test(s) went without it. To test all: install git." in run.stdout


def test_under_ci_a_missing_part_is_a_failure(tmp_path: Path) -> None:
    run = _run_without_git(tmp_path, ci="true")
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "needs git, which is missing" in run.stdout
