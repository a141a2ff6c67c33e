"""Whose fault it is: the machine's, which its owner can mend, or ours."""

import errno

import pygit2
import pytest

from agent.protocol.errors import InputError, RetryError, if_of_the_machine

FULL = "No space left on device"


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, FULL, "/srv/x"), OSError(f"failed to write: {FULL}"), pygit2.GitError(f"cannot extend packfile: {FULL}")],
    ids=["system", "libgit2", "libgit2-pack"],
)
def test_a_full_disk_is_said_to_be_one_whoever_met_it(error: Exception) -> None:
    found = if_of_the_machine(error, where="/srv/x")
    assert isinstance(found, RetryError)
    assert str(found).startswith("/srv/x: ")
    assert FULL in str(found)
    assert "see to the disk" in str(found)


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "no such file"), KeyError("x"), InputError(f"x: {FULL}")])
def test_all_else_stays_what_it_is(error: Exception) -> None:
    assert if_of_the_machine(error) is error
