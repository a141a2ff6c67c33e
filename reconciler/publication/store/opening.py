"""Which store a URL names."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from agent.protocol.errors import InputError
from reconciler.publication.store.interface import Store
from reconciler.publication.store.local import LocalStore


def open_store(url: str) -> Store:
    """Return the store at `url`: a directory, or a `file:` URL of one; it is made at the first write.

    Raises:
        InputError: another kind of store.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return LocalStore(Path(unquote(parts.path)))
    if "://" in url or not url:
        message = f"store {url!r}: only directories and file: URLs are supported so far; S3, GCS and Azure come with a later version"
        raise InputError(message)
    return LocalStore(Path(url))
