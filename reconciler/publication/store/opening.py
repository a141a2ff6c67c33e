"""Which store a URL names, and how its bucket is reached.

Credentials are never held here, nor in a URL or a setting: they are in the environment, under the names that each provider gives them,
in a file that a setting names, or the machine has an identity of its own (a role of its instance, a projected token).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from agent.protocol.errors import InputError, MalformedError
from reconciler.publication.secret_files import SecretFile
from reconciler.publication.store.interface import Store, require_key
from reconciler.publication.store.local import LocalStore

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

CONNECT_SECONDS = "3s"
"""To reach an object store: it is near, or it is in trouble."""
REQUEST_SECONDS = "20s"
"""For a whole request: a part of 8 MiB at half a megabyte a second."""
RETRIES = 3
"""Times that what may be repeated is repeated; a loop that fails begins again anyway."""
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "GOOGLE_BASE_URL", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
"""Where the environment may name another address than the provider's."""
SCHEMES = {"s3": "aws_", "gs": "google_", "az": "azure_"}
"""Schemes of URLs, and how the variables begin that are for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a bucket is reached; all of it may be left to the environment."""

    endpoint: str = ""
    region: str = ""
    credentials: str = ""
    """Name of a file, or of a systemd credential, with lines `NAME=value`, the names as in the environment."""
    authority: str = ""
    """Name of a file with certificates of authorities (PEM) that are believed beside the system's."""
    virtual_hosts: bool = False


def open_store(url: str, access: Access | None = None) -> Store:
    """Return the store at `url`: a directory or a `file:` URL of one, made at the first write, or a bucket, which must be there.

    `s3://bucket/prefix`, `gs://bucket/prefix` and `az://container/prefix` name buckets.

    Raises:
        InputError: another kind of store, or settings that can't be.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme in SCHEMES and "://" in url:
        return _bucket(url, parts, access or Access())
    if "://" in url or not url:
        message = f"store {url!r} is neither a directory nor a URL that begins with file:, s3://, gs:// or az://"
        raise InputError(message)
    return LocalStore(Path(url))


def _bucket(url: str, parts: SplitResult, access: Access) -> Store:
    bucket, prefix = parts.netloc, parts.path.strip("/")
    try:
        require_key(f"{bucket}/{prefix}" if prefix else bucket)
    except MalformedError as error:
        bare = parts._replace(netloc=bucket.rpartition("@")[2], query="", fragment="").geturl()
        message = (
            f"store {bare!r}: write {parts.scheme}://BUCKET or {parts.scheme}://BUCKET/PREFIX, and nothing else; credentials go elsewhere"
        )
        raise InputError(message) from error
    if parts.query or parts.fragment:
        message = f"store '{parts.scheme}://{bucket}/{prefix}': nothing may follow the prefix; endpoint and region are settings of [store]"
        raise InputError(message)
    from reconciler.publication.store.objects import ObjectStore  # noqa: PLC0415 - its library takes 30 ms that directories need not wait for

    client, once = (_client(parts.scheme, bucket, prefix, access, retries) for retries in (RETRIES, 0))
    return ObjectStore(url=url.rstrip("/"), client=client, once=once)


def _client(scheme: str, bucket: str, prefix: str, access: Access, retries: int) -> "Client":
    from obstore import exceptions  # noqa: PLC0415 - as above
    from obstore import store as stores  # noqa: PLC0415 - as above

    kinds: dict[str, Any] = {"s3": stores.S3Store, "gs": stores.GCSStore, "az": stores.AzureStore}
    try:
        client: Client = kinds[scheme](
            bucket,
            prefix=prefix or None,
            config=_config(scheme, access),
            client_options=_client_options(access),
            retry_config={"max_retries": retries},
        )
    except (exceptions.BaseError, ValueError) as error:
        message = f"store {scheme}://{bucket}: {str(error).partition(chr(10))[0]}; see docs/object-stores.md for what it needs"
        raise InputError(message) from error
    return client


def _config(scheme: str, access: Access) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if access.credentials:
        config |= _variables(scheme, access.credentials)
    if access.endpoint:
        config[{"s3": "aws_endpoint", "gs": "google_base_url", "az": "azure_endpoint"}[scheme]] = access.endpoint
    if scheme == "s3":
        config["aws_virtual_hosted_style_request"] = access.virtual_hosts
        config["aws_copy_if_not_exists"] = "multipart"
        config["aws_disable_bulk_delete"] = True  # not every server has it, and we delete one at a time
        if access.region:
            config["aws_region"] = access.region
    return config


def _variables(scheme: str, name: str) -> dict[str, Any]:
    file = SecretFile(name=name, purpose="the credentials of the object store")
    found = {key.lower(): value for key, value in file.variables().items()}
    foreign = sorted(key for key in found if not key.startswith(SCHEMES[scheme]))
    if foreign:
        message = f"{name}: {foreign[0].upper()} is not for {scheme}://, whose variables begin with {SCHEMES[scheme].upper()}"
        raise InputError(message)
    return found


def _client_options(access: Access) -> dict[str, Any]:
    endpoint = access.endpoint or next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    options: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "timeout": REQUEST_SECONDS, "user_agent": "ordain"}
    if endpoint.startswith("http://"):
        options["allow_http"] = True
    if access.authority:
        try:
            options["root_certificate"] = Path(access.authority).read_bytes()
        except OSError as error:
            message = f"{access.authority}: {error.strerror}; it should hold the authority of the object store ([store] authority)"
            raise InputError(message) from error
    return options
