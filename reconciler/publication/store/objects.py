"""A store in a bucket: S3 and what speaks like it, Google Cloud Storage, Azure.

What is stored is safe once the object store said so. `create` and `replace` are conditional puts (`If-None-Match: *`, `If-Match`), made
without the library's retries: after a lost answer the same put fails on what it made itself, so only we, who know the bytes, can tell
that from somebody else's. Everything else may be repeated, and the library does.

What is too large for one request goes up in parts beside its place, and gets its name by a copy that needs it to be absent.
"""

import contextlib
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from agent.protocol.errors import MalformedError
from reconciler.publication.store.interface import OBJECT_LIMIT, PART, Entry, require_key
from reconciler.publication.store.object_errors import is_passing, no_bucket, trouble

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore as Client

TRIES = 4
"""Times that a put is made while the object store does not answer, or says that it is busy."""
PAUSE = 0.2
"""Seconds before the second of them; twice as long each time. With the client's timeouts a put is over well within a stop's grace."""
WHOLE = 8 * 1024 * 1024
"""Bytes that are put in one request; what is larger goes up in parts of this size, of which three are in memory."""
PARTS = ".parts"
"""Directory, beside the keys' grammar, of what is still going up."""
ABANDONED = timedelta(days=1)
"""Age of what went up and never got its name, after which its writer is surely dead. Buckets' clocks and ours differ by less."""
PAGE = 1000
"""Keys of one answer to a listing: as many as an object store gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStore:
    """A store in a bucket, or below a prefix of one; versions are what the object store calls them (ETag, generation)."""

    url: str
    """What it is called in messages: `s3://bucket/prefix`."""
    client: "Client" = field(repr=False)
    """For what may be repeated: with retries."""
    once: "Client" = field(repr=False)
    """For what may not: without."""

    def get(self, key: str) -> bytes | None:
        """Return what stands at `key`, as `Store.get`."""
        found = self.get_versioned(key)
        return None if found is None else found[0]

    def version(self, key: str) -> str | None:
        """Return the version of what stands at `key`."""
        meta = self._meta(key)
        return None if meta is None else _version(meta)

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return what stands at `key` and its version, of one answer."""
        require_key(key)
        with self._trouble(key):
            try:
                answer = obstore.get(self.client, key)
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None
            if answer.meta["size"] > OBJECT_LIMIT:
                message = f"{self.url}/{key}: {answer.meta['size']} bytes, more than {OBJECT_LIMIT}"
                raise MalformedError(message)
            return bytes(answer.bytes()), _version(answer.meta)

    def create(self, key: str, data: bytes) -> bool:
        """Put `data` at `key` unless something is there."""
        return self._put(require_key(key), data, "create")

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Put `data` at `key` if it still has `version`."""
        return self._put(require_key(key), data, "create" if version is None else _update(version))

    def size(self, key: str) -> int | None:
        """Return the bytes of what stands at `key`."""
        meta = self._meta(key)
        return None if meta is None else meta["size"]

    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        """Return a part of what stands at `key`, as `Store.read_range`."""
        size = self.size(key)
        if size is None or start >= size or length <= 0:
            return None if size is None else b""
        with self._trouble(key):
            try:
                return bytes(obstore.get_range(self.client, key, start=start, length=min(length, size - start)))
            except FileNotFoundError:
                return None

    def create_from(self, key: str, chunks: Iterable[bytes]) -> bool:
        """Put what `chunks` yield at `key` unless something is there; no more than a few parts are ever in memory."""
        if self.size(key) is not None:
            return False
        rest = iter(chunks)
        begun = _take(rest, WHOLE)
        if sum(map(len, begun)) < WHOLE:
            return self.create(key, b"".join(begun))
        return self._create_large(key, chain(begun, rest))

    def list(self, prefix: str, *, deep: bool = True) -> Iterator[str]:
        """Yield keys, as `Store.list`; what is no key is passed over."""
        directory, _, _ = prefix.rpartition("/")
        if directory:
            require_key(directory)
        with self._trouble(prefix):
            keys = sorted(key for key in self._below(directory, deep=deep) if key.startswith(prefix))
        yield from keys

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield what stands, as `Store.entries`: a listing says all of it."""
        directory, _, _ = prefix.rpartition("/")
        if directory:
            require_key(directory)
        with self._trouble(prefix):
            pages = obstore.list(self.client, directory or None, chunk_size=PAGE)
            found = [_entry(meta) for page in pages for meta in page if _is_key(meta["path"]) and meta["path"].startswith(prefix)]
        yield from sorted(found, key=lambda one: one.key)

    def delete(self, key: str) -> None:
        """Remove what stands at `key`, if anything does."""
        require_key(key)
        with self._trouble(key), contextlib.suppress(FileNotFoundError):
            obstore.delete(self.client, key)

    def sweep(self, prefix: str) -> None:
        """Remove what went up and never got its name, if it is old: a bucket can't tell whether its writer lives."""
        before = datetime.now(UTC) - ABANDONED
        with self._trouble(prefix):
            for page in obstore.list(self.client, _parts(prefix), chunk_size=PAGE):
                for meta in page:
                    if meta["last_modified"] < before:
                        with contextlib.suppress(FileNotFoundError):
                            obstore.delete(self.client, meta["path"])

    @contextmanager
    def together(self) -> Iterator[None]:
        """Do nothing more: each put is safe by itself."""
        yield

    def _meta(self, key: str) -> "ObjectMeta | None":
        require_key(key)
        with self._trouble(key):
            try:
                return obstore.head(self.client, key)
            except FileNotFoundError:
                self._see_bucket(key)
                return None

    def _see_bucket(self, key: str) -> None:
        """See that it is the object that is missing, and not the bucket, which an answer without a body does not tell."""
        try:
            obstore.get(self.client, key)
        except FileNotFoundError as error:
            self._require_bucket(error)

    def _require_bucket(self, error: FileNotFoundError) -> None:
        """Raise `RetryError` if what was not found is the bucket: nothing must look as if it had been deleted."""
        if no_bucket(error):
            raise trouble(self.url, error) from error

    def _put(self, key: str, data: bytes, mode: Any) -> bool:
        with self._trouble(key):
            for attempt in range(TRIES):
                if attempt:
                    time.sleep(PAUSE * 2 ** (attempt - 1))
                try:
                    obstore.put(self.once, key, data, mode=mode)
                except (AlreadyExistsError, PreconditionError) as error:
                    if attempt and self.get(key) == data:
                        return True  # it was put before, and the answer was lost
                    if not is_passing(error):
                        return False
                except BaseError as error:
                    if attempt == TRIES - 1 or not is_passing(error):
                        raise
                else:
                    return True
            return False

    def _create_large(self, key: str, chunks: Iterator[bytes]) -> bool:
        beside = f"{_parts(key)}/{secrets.token_hex(16)}"
        try:
            self._upload(beside, chunks)
            with self._trouble(key):
                obstore.copy(self.client, beside, key, overwrite=False)
        except AlreadyExistsError:
            return False
        finally:
            with contextlib.suppress(OSError, BaseError):  # a sweep removes it
                obstore.delete(self.client, beside)
        return True

    def _upload(self, beside: str, chunks: Iterator[bytes]) -> None:
        """Put what `chunks` yield at `beside`. An error of theirs ends the upload too: a bucket charges for one that is left open."""
        with self._trouble(beside):
            writer = obstore.open_writer(self.client, beside, buffer_size=WHOLE, max_concurrency=2)
        try:
            for chunk in chunks:
                with self._trouble(beside):
                    writer.write(chunk)
        finally:
            with self._trouble(beside):
                writer.close()

    def _below(self, directory: str, *, deep: bool) -> Iterator[str]:
        if deep:
            for page in obstore.list(self.client, directory or None, chunk_size=PAGE):
                yield from (meta["path"] for meta in page if _is_key(meta["path"]))
            return
        found = obstore.list_with_delimiter(self.client, directory or None)
        yield from (meta["path"] for meta in found["objects"] if _is_key(meta["path"]))
        yield from (f"{path}/" for path in found["common_prefixes"] if _is_key(path))

    @contextmanager
    def _trouble(self, key: str) -> Iterator[None]:
        try:
            yield
        except AlreadyExistsError:
            raise  # no trouble, but an answer
        except (BaseError, OSError) as error:
            raise trouble(self.url, error, key=key) from error


def _is_key(path: str) -> bool:
    return all(PART.fullmatch(part) for part in path.split("/"))


def _entry(meta: "ObjectMeta") -> Entry:
    return Entry(key=meta["path"], size=meta["size"], written=meta["last_modified"])


def _parts(key: str) -> str:
    """Return where what is to stand at `key` goes up: in one place for each writer's prefix, so that sweeping lists little."""
    return f"{key.partition('/')[0]}/{PARTS}"


def _version(meta: "ObjectMeta") -> str:
    """Return an object's version as one text; neither of its two parts holds a space."""
    return f"{meta['e_tag'] or ''} {meta['version'] or ''}"


def _update(version: str) -> dict[str, str]:
    etag, _, number = version.partition(" ")
    return {name: value for name, value in (("e_tag", etag), ("version", number)) if value}


def _take(chunks: Iterator[bytes], size: int) -> list[bytes]:
    taken, held = list[bytes](), 0
    while held < size and (chunk := next(chunks, None)) is not None:
        taken.append(chunk)
        held += len(chunk)
    return taken
