"""One fleet's files as a watch brought them, in the place of the server's: verified like any other, and never asked for twice.

A root is asked for by its number until there is none: that there is none follows from the newest one that came along, and where
nothing of a fleet is newer, neither is its root.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from tuf.api.exceptions import DownloadHTTPError

from agent.protocol.errors import RetryError

ROOT = ".root.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What is known of the repository at `base`, an address that ends with `/`.

    `files` is name below it → text, None where nothing is newer than what this host has. `away` is why nothing was heard at all.
    """

    base: str
    files: Mapping[str, str] | None = None
    away: RetryError | None = None

    def find(self, url: str, known: bytes | None) -> bytes | None:
        """Return the bytes of a file of metadata, None where they must be fetched; `known` is what this host has under that name.

        Raises:
            RetryError: nothing was heard.
            DownloadHTTPError: 404, there is no such file.
        """
        if self.away is not None:
            raise RetryError(str(self.away))
        name = url.removeprefix(self.base)
        if self.files is None:
            if name.endswith(ROOT):
                raise _absent(url)
            return known
        text = self.files.get(name)
        if text is not None:
            return text.encode()
        if name.endswith(ROOT) and 0 < self._newest_root() < _number(name):
            raise _absent(url)
        return None  # it was left out since all would be too much, or this host missed more than one

    def _newest_root(self) -> int:
        return max((_number(name) for name in self.files or () if name.endswith(ROOT)), default=0)


def _number(name: str) -> int:
    """Return the version in a file's name, `metadata/7.root.json` → 7; 0 where there is none."""
    digits = name.rpartition("/")[2].removesuffix(ROOT)
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else 0  # noqa: PLR2004 - digits


def _absent(url: str) -> DownloadHTTPError:
    return DownloadHTTPError(f"{url}: there is none", HTTPStatus.NOT_FOUND)
