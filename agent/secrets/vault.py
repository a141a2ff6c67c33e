"""Reading key/value stores (version 2) of Vault and OpenBao, by an identity that the host has there of its own.

Never by ordain's certificate authority: nothing but ordain trusts it, and a Vault that did would take whoever holds it for any host.
https://openbao.org/api-docs/secret/kv/kv-v2/
"""

import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3

from agent.protocol.errors import RefusedError
from agent.protocol.state import SECRET_LIMIT, VaultSource
from agent.settings import VaultAccess

CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
ANSWER_LIMIT = 1024 * 1024
"""Bytes of an answer: Vault's own bound of a secret."""
CREDENTIAL_LIMIT = 64 * 1024
RENEW_AT = 2 / 3
"""Of a token's lease: then the host logs in again."""
OK, FORBIDDEN, NOT_FOUND = 200, 403, 404


@dataclass(slots=True, kw_only=True)
class Vault:
    """One Vault; a token from a login is kept in memory as long as it lasts. `own` is a directory whose certificate is never used."""

    access: VaultAccess
    own: Path
    place: Callable[[str], Path]
    """Where the files lie that the access names."""
    clock: Callable[[], float] = time.monotonic
    _token: str = field(default="", init=False, repr=False)
    _until: float = field(default=0.0, init=False)
    _pool: urllib3.PoolManager | None = field(default=None, init=False, repr=False)

    def read(self, source: VaultSource) -> str:
        """Return a field of a secret.

        Raises:
            RefusedError: it is not there, this host may not read it, or Vault can't be asked now. Nothing that Vault said is repeated.
        """
        place = f"/v1/{quote(source.mount)}/data/{quote(_plain(source.path))}"
        status, answer = self._ask("GET", place, token=self._login())
        if status == FORBIDDEN and not self.access.token_file:
            self._token = ""  # it may have ended sooner than it said
            status, answer = self._ask("GET", place, token=self._login())
        if status != OK:
            raise RefusedError(_said(status, f"{source.mount}/{source.path}"))
        held = _within(answer, "data", "data")
        value = held.get(source.field) if isinstance(held, dict) else None
        if value is None or isinstance(value, (dict, list)):
            message = f"{source.mount}/{source.path} has no field {source.field} that is a plain value"
            raise RefusedError(message)
        text = value if isinstance(value, str) else json.dumps(value)
        if len(text.encode()) > SECRET_LIMIT:
            message = f"{source.mount}/{source.path} is larger than the {SECRET_LIMIT:,} bytes that a secret may have"
            raise RefusedError(message)
        return text

    def _login(self) -> str:
        if self.access.token_file:
            return self._credential(self.access.token_file)
        if not self._token or self.clock() >= self._until:
            way = "cert" if self.access.certificate else "approle"
            status, answer = self._ask("POST", f"/v1/auth/{quote(self.access.auth_mount or way)}/login", body=self._proof())
            granted = _within(answer, "auth")
            token = granted.get("client_token") if isinstance(granted, dict) else None
            if status != OK or not isinstance(granted, dict) or not isinstance(token, str):
                message = f"{self.access.address} did not log this host in by {way} ({status})"
                raise RefusedError(message)
            lease = granted.get("lease_duration")
            self._token, self._until = token, self.clock() + (lease if isinstance(lease, int) else 0) * RENEW_AT
        return self._token

    def _proof(self) -> Mapping[str, str]:
        if self.access.certificate:
            return {"name": self.access.role} if self.access.role else {}
        return {"role_id": self._credential(self.access.role_id_file), "secret_id": self._credential(self.access.secret_id_file)}

    def _credential(self, path: str) -> str:
        try:
            with self.place(path).open("rb") as stream:
                return stream.read(CREDENTIAL_LIMIT).decode().strip()
        except (OSError, UnicodeError) as error:
            message = f"{path}: it can't be read ({type(error).__name__})"
            raise RefusedError(message) from error

    def _ask(self, method: str, place: str, *, token: str = "", body: Mapping[str, str] | None = None) -> tuple[int, Any]:
        headers = {"X-Vault-Request": "true", "Accept-Encoding": "identity"}
        headers |= {"X-Vault-Token": token} if token else {}
        headers |= {"X-Vault-Namespace": self.access.namespace} if self.access.namespace else {}
        try:
            answer = self._connections().request(
                method, self.access.address.rstrip("/") + place, headers=headers, json=body, redirect=False, preload_content=False
            )
            with answer:
                data = answer.read(ANSWER_LIMIT + 1)
            return answer.status, json.loads(data) if len(data) <= ANSWER_LIMIT else None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            message = f"{self.access.address} can't be asked now ({type(error).__name__})"
            raise RefusedError(message) from None  # what failed may hold what was sent
        except (ValueError, RecursionError):
            message = f"{self.access.address} answered something that is no JSON; is it a Vault?"
            raise RefusedError(message) from None

    def _connections(self) -> urllib3.PoolManager:
        if self._pool is None:
            self._pool = urllib3.PoolManager(
                num_pools=1,
                maxsize=1,
                retries=False,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                ssl_context=self._context(),
            )
        return self._pool

    def _context(self) -> ssl.SSLContext:
        access = self.access
        if access.certificate and self.own.resolve() in self.place(access.certificate).resolve().parents:
            message = (
                f"{access.certificate} is of ordain's own authority, which nothing else trusts; give this host one that your Vault knows"
            )
            raise RefusedError(message)
        try:
            context = ssl.create_default_context(cafile=self.place(access.ca) if access.ca else None)
            if access.certificate:
                context.load_cert_chain(self.place(access.certificate), self.place(access.key))
        except (OSError, ssl.SSLError) as error:
            message = f"[vault] of agent.toml: its ca, certificate or key can't be used ({type(error).__name__})"
            raise RefusedError(message) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def _plain(path: str) -> str:
    """Return a path that means itself; a label with dots must not lead to another secret."""
    if any(step in ("", ".", "..") for step in path.split("/")):
        message = f"{path[:80]!r} is no path in a store"
        raise RefusedError(message)
    return path


def _within(answer: Any, *names: str) -> Any:
    for name in names:
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer


def _said(status: int, what: str) -> str:
    if status == FORBIDDEN:
        return f"this host may not read {what}; its policy there must allow it"
    if status == NOT_FOUND:
        return f"there is no {what}, or its newest version was deleted"
    return f"{what}: answered with {status}"
