"""Families of errors, by what the caller should do about one.

Every message says what is wrong, where, and what to do next. Bytes that come from outside raise
`MalformedError` and nothing else, whatever is wrong with them.
"""

import errno

NO_FAULT_OF_OURS = frozenset(
    (
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE),
        *(errno.ENOMEM, errno.EMFILE, errno.ENFILE),
    )
)
"""Errors of the system that whoever owns the machine can mend: full, read-only, forbidden or broken disks, and too little of the rest."""


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


def disk_trouble(error: OSError) -> RetryError:
    """Return the system's error as one that a person can act on."""
    where = f"{error.filename}: " if error.filename else ""
    return RetryError(f"{where}{error.strerror or error}; see to the disk and its permissions, then it goes on by itself")
