"""Requests to somewhere else: connections as this machine's environment has them made, and bodies that are bounded in bytes and in time."""

import ssl
import time
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3

from agent.protocol.errors import InputError

CHUNK = 64 * 1024
"""Bytes that are taken of a body at once, or as many as have come."""


class TooLargeError(Exception):
    """A body has more bytes than it may."""


class EndlessError(Exception):
    """A body has not ended in the time that it had."""


def connections(to: str, *, proxied: Collection[str] = ("https",), **options: Any) -> urllib3.PoolManager:
    """Return connections to an address, by the proxy that the environment names (HTTPS_PROXY, NO_PROXY); it sees the host's name alone.

    `proxied` are the schemes for which a proxy is asked; `options` are those of a `PoolManager`.

    Raises:
        InputError: what is named is no proxy.
    """
    options = {"ssl_minimum_version": ssl.TLSVersion.TLSv1_2, **options}
    where = urlsplit(to)
    proxy = getproxies_environment().get(where.scheme, "") if where.scheme in proxied else ""
    if not proxy or proxy_bypass(where.hostname or ""):
        return urllib3.PoolManager(**options)
    try:
        by = urlsplit(proxy)
        who = f"{unquote(by.username)}:{unquote(by.password or '')}" if by.username else None
        return urllib3.ProxyManager(proxy, proxy_headers=urllib3.make_headers(proxy_basic_auth=who), **options)
    except ValueError as error:
        message = f"{where.scheme.upper()}_PROXY: not the address of a proxy; write http://HOST:PORT"
        raise InputError(message) from error


def received(response: urllib3.BaseHTTPResponse, *, limit: int, until: float) -> Iterator[bytes]:
    """Yield a body as it comes, however slowly it drips, and never more than `limit` bytes of it; `until` is on `time.monotonic`.

    Raises:
        TooLargeError: it has more.
        EndlessError: it did not end in time.
        urllib3.exceptions.HTTPError: it broke off.
    """
    size = 0
    while chunk := response.read1(CHUNK, decode_content=False):
        size += len(chunk)
        if size > limit:
            raise TooLargeError
        if time.monotonic() > until:
            raise EndlessError
        yield chunk
