"""Families of errors, by what the caller should do about one.

Every message says what is wrong, where, and what to do next. Bytes that come from outside raise
`MalformedError` and nothing else, whatever is wrong with them.
"""

import errno
import os

NO_FAULT_OF_OURS = frozenset(
    (
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE),
        *(errno.ENOMEM, errno.EMFILE, errno.ENFILE),
    )
)
"""Errors of the system that whoever owns the machine can mend: full, read-only, forbidden or broken disks, and too little of the rest."""
_SAID = tuple(os.strerror(number) for number in sorted(NO_FAULT_OF_OURS))


class OrdainError(Exception):
    """The root of all errors that ordain raises on purpose; its text is meant for a person."""

    exit_code = 3


class InputError(OrdainError):
    """What was asked for, or typed, is wrong: change it and ask again. Exit code 2."""

    exit_code = 2


class RefusedError(OrdainError):
    """Well-formed, but not allowed or not trusted; trying again changes nothing. Exit code 1."""

    exit_code = 1


class MalformedError(RefusedError):
    """Bytes from outside that are not what they claim to be: size, depth, syntax, fields, digests."""


class RetryError(OrdainError):
    """Could not be done now (network, a busy lock, a part that is missing): try later. Exit code 3."""

    exit_code = 3


def disk_trouble(error: Exception, *, where: str = "") -> RetryError:
    """Return the system's error as one that a person can act on; `where` it was, unless it says so itself."""
    said = getattr(error, "strerror", None) or error
    place = getattr(error, "filename", None) or where
    return RetryError(f"{place}{': ' if place else ''}{said}; see to the disk and its permissions, then it goes on by itself")


def if_of_the_machine(error: Exception, *, where: str = "") -> Exception:
    """Return an error that whoever owns the machine can mend as one that says so, and any other as it is.

    libgit2's errors have no number: there the text ends with the system's words.
    """
    number = getattr(error, "errno", None)
    said = number is None and not isinstance(error, OrdainError) and str(error).endswith(_SAID)
    return disk_trouble(error, where=where) if number in NO_FAULT_OF_OURS or said else error
