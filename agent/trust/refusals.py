"""The TUF client's errors in words of ours: which family, what it means here, and what to do about it."""

import contextlib
from collections.abc import Callable, Iterator
from http import HTTPStatus

from tuf.api import exceptions

from agent.protocol.errors import RefusedError, RetryError

_CEREMONY = "repeat the key ceremony and publish what it signs"
_RENEWERS = {"root": _CEREMONY, "targets": _CEREMONY, "releases": "see whether `ordain reconcile` runs"}
"""Role → what to do when it has expired; every other role is `ordain serve`'s."""
_UNSIGNED = (
    "the keys that this host trusts did not sign it. After keys were rotated the newer root must be published too; "
    "else trust no more of this server"
)
_OLDER = (
    "older than what this host has seen, or parts that don't belong together: an old copy is being replayed, or a backup was restored. "
    "`ordain serve` goes on above it; if a thief pushed numbers up, rotate the timestamp and snapshot keys together"
)
_OTHER_BYTES = "not the bytes that were signed: damaged or tampered with on the way. Mend the server, or the cache or mirror in front of it"
_OTHER = "the signed metadata does not add up; see what `ordain serve` says of this fleet"
_MEANINGS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.UnsignedMetadataError, _UNSIGNED),
    (exceptions.BadVersionNumberError, _OLDER),
    (exceptions.LengthOrHashMismatchError, _OTHER_BYTES),
)
"""What a verification error means, the first that fits."""


@contextlib.contextmanager
def in_our_words(fleet: str, times: Callable[[], str]) -> Iterator[None]:
    """Turn the TUF client's errors into ours: what can't be trusted is refused, what can't be had is tried again.

    `times` says as of when an expiry was judged, and what is odd about that time.
    """
    try:
        yield
    except exceptions.DownloadHTTPError as error:
        absent = "; the server has no repository for it" if error.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND) else ""
        message = f"{fleet}: {error}{absent}"
        raise RetryError(message) from error
    except exceptions.DownloadError as error:
        message = f"{fleet}: {error}"
        raise RetryError(message) from error
    except exceptions.ExpiredMetadataError as error:
        message = f"{fleet}: {error} {times()}: nothing new is started until fresh metadata arrives, what runs is kept; {_renewer(error)}"
        raise RefusedError(message) from error
    except (exceptions.RepositoryError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # Signed bytes may still be nonsense: a stolen key signs anything, and the client's own code meets it.
        meaning = next((words for kind, words in _MEANINGS if isinstance(error, kind)), _OTHER)
        message = f"{fleet}: {type(error).__name__}: {error}; nothing of it is used: {meaning}"
        raise RefusedError(message) from error


def _renewer(error: Exception) -> str:
    named = [remedy for role, remedy in _RENEWERS.items() if role in str(error)]
    return named[0] if named else "see whether `ordain serve` runs"
