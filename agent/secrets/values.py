"""The values of this host's secrets, in memory only, each got once and looked at again where it may change without a release.

Ciphertext of a release is opened once. A file of the host's is read again when it changed, Vault is asked again at intervals. A
source that can't be had now leaves the value that was had last: what runs goes on, and it is said what is wrong. A value that was
never had refuses the release.
"""

import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from agent.host import Host
from agent.owner.allow import read_allow
from agent.protocol import codec, rendering
from agent.protocol.errors import MalformedError, OrdainError, RefusedError
from agent.protocol.state import SECRET_LIMIT, Secret, State
from agent.secrets import files, sops
from agent.secrets.age import decrypt
from agent.secrets.filling import NOTHING, Filling, needed
from agent.secrets.keys import HostKeys, identities
from agent.secrets.vault import Vault
from agent.secrets.veil import Veil
from agent.settings import SecretsAccess, read_secrets

AGAIN_SECONDS = 15.0
"""Between two tries at a source that failed: a Vault that is away must not hold up each step of a poll for its time-outs."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """A value, or why there is none, and when to look again; `version` tells a changed file of the host."""

    value: str | None = field(default=None, repr=False)
    why: str = ""
    due: float = 0.0
    version: tuple[int, ...] = ()


@dataclass(slots=True, kw_only=True)
class Secrets:
    """Gets secrets for one agent; lives as long as it does. `own` is the agent's state directory."""

    host: Host
    own: Path
    config: Path
    keys: HostKeys
    tenant: str
    agent: str
    veil: Veil = field(default_factory=Veil)
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, _Known] = field(default_factory=dict, init=False, repr=False)
    _vault: Vault | None = field(default=None, init=False, repr=False)
    _troubles: dict[str, str] = field(default_factory=dict, init=False)

    def filling(self, state: State) -> Filling:
        """Return what is filled in for a state's references to secrets.

        Raises:
            RefusedError: one that can't be had, or that the host's owner does not allow; it names the secret and its source.
            InputError: `agent.toml` can't be read.
        """
        names = needed(state)
        if not names:
            return NOTHING
        declared = {secret.name: secret for secret in state.secrets}
        missing = names - declared.keys()
        if missing:
            message = f"secret {min(missing)} is referred to, and the release does not say where it comes from"
            raise MalformedError(message)
        allow, access = read_allow(self.config), read_secrets(self.config)
        values = {}
        for name in sorted(names):
            why = allow.refuse_secret(self._finished(declared[name]))
            if why is not None:
                raise RefusedError(why)
            values[name] = self._value(self._finished(declared[name]), access)
        self.veil.draw(values)
        return Filling(values=values, keyed=self.keys.keyed)

    def troubles(self) -> list[str]:
        """Return what was wrong with sources since this was asked last, a sentence each."""
        told, self._troubles = sorted(self._troubles.values()), {}
        return told

    def _finished(self, secret: Secret) -> Secret:
        if secret.vault is None:
            return secret
        path = rendering.finish(secret.vault.path, tenant=self.tenant, agent=self.agent)
        return msgspec.structs.replace(secret, vault=msgspec.structs.replace(secret.vault, path=path))

    def _value(self, secret: Secret, access: SecretsAccess) -> str:
        key = codec.sha256(codec.canonical(msgspec.structs.replace(secret, name="")))
        known = self._known.setdefault(key, _Known())
        if self.clock() >= known.due or secret.file is not None:
            self._look(secret, access, known)
        said = f"secret {secret.name} ({source_of(secret)}): {known.why}"
        if known.value is None:
            self._troubles[key] = said
            raise RefusedError(said)
        if known.why:
            self._troubles[key] = f"{said}; the value that was had last is used"
        return known.value

    def _look(self, secret: Secret, access: SecretsAccess, known: _Known) -> None:
        """Get a value anew, or note why that can't be done."""
        try:
            if secret.file is not None:
                self._look_at_file(secret.file, known)
            else:
                known.value = _text(self._got(secret, access))
            known.why = ""
            known.due = self.clock() + access.refresh if secret.vault is not None else float("inf")
        except (OrdainError, OSError) as error:
            known.why = str(error) if isinstance(error, OrdainError) else f"it can't be read ({error.strerror})"
            known.due = self.clock() + AGAIN_SECONDS

    def _look_at_file(self, path: str, known: _Known) -> None:
        seen = files.look(self.host, path, own=self.own)
        if known.value is None or seen.fingerprint != known.version:
            known.value, known.version = _text(files.read(self.host, path)), seen.fingerprint

    def _got(self, secret: Secret, access: SecretsAccess) -> bytes:
        if secret.vault is not None:
            return self._asked(access).read(secret.vault).encode()
        held = identities([self.keys.identity, *(self.host.outside(path) for path in access.age_keys)])
        if secret.sops is not None:
            return sops.open_source(secret.sops, lambda sealed: decrypt(sealed, held))
        try:
            return decrypt(base64.b64decode(secret.age or "", validate=True), held)
        except binascii.Error as error:
            message = "its age file is damaged"
            raise RefusedError(message) from error

    def _asked(self, access: SecretsAccess) -> Vault:
        if access.vault is None:
            message = f"{self.config} has no section [vault], which says where this host asks and as whom"
            raise RefusedError(message)
        if self._vault is None or self._vault.access != access.vault:
            self._vault = Vault(access=access.vault, own=self.own, place=self.host.outside, clock=self.clock)
        return self._vault


def source_of(secret: Secret) -> str:
    """Return where a secret comes from, for messages."""
    if secret.vault is not None:
        return f"vault {secret.vault.mount}/{secret.vault.path}#{secret.vault.field}"
    return f"file {secret.file}" if secret.file is not None else "age" if secret.sops is None else "sops"


def _text(data: bytes) -> str:
    """Return a value as text; one line end at its end is not part of it, for editors and `echo` put it there."""
    if len(data) > SECRET_LIMIT:
        message = f"it is larger than the {SECRET_LIMIT:,} bytes that a secret may have"
        raise RefusedError(message)
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        message = "it is no UTF-8 text; encode it, in base64 say, and have what reads it decode it"
        raise RefusedError(message) from None  # what could not be decoded would be in the error
    if not text or "\0" in text:
        message = "it is empty, or holds a NUL"
        raise RefusedError(message)
    return text
