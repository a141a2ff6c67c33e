"""`public.json`: the public keys of a zone, the only thing of a key ring that travels.

Beside each role's key stand those that follow it (`shop/releases.next`) and those that it had (`retired`), which nothing trusts any
more but an audit of what they signed.
"""

from pathlib import Path
from typing import Literal

import msgspec
from securesystemslib.signer import Key, SSlibKey

from agent.protocol.errors import InputError
from agent.protocol.state import Struct

Zone = Literal["offline", "pipeline", "control", "authority"]

FORMAT = 1
LIMIT = 16 * 1024 * 1024
"""Bytes of a `public.json`: about 40,000 tenants."""
NEXT = ".next"
"""What a role's name ends in where the key is meant that will follow its present one."""


class PublicKey(Struct):
    """One public key, as TUF metadata has it."""

    keyid: str
    keytype: str
    scheme: str
    keyval: dict[str, str]


class PublicKeys(Struct):
    """A zone's public keys by role (`repository`, `shop/releases`, `shop/releases.next`), and those that it had before, oldest first."""

    format: int
    zone: Zone
    keys: dict[str, PublicKey]
    retired: dict[str, list[PublicKey]] = {}

    def key(self, role: str) -> Key:
        """Return the public key of a role; raise `InputError` if it is not there."""
        found = self.keys.get(role)
        if found is None:
            message = f"the {self.zone} zone's public keys have none for {role}; run `ordain keys init --zone {self.zone}` there"
            raise InputError(message)
        return self._usable(role, found)

    def newest(self, role: str) -> Key:
        """Return the key that is to follow a role's present one, or the present one where none is made yet; raise as `key` does."""
        return self.key(role + NEXT if role + NEXT in self.keys else role)

    def former(self, role: str) -> list[Key]:
        """Return the keys that a role had before, oldest first; raise `InputError` if one can't be used."""
        return [self._usable(role, one) for one in self.retired.get(role, [])]

    def _usable(self, role: str, found: PublicKey) -> Key:
        try:
            return Key.from_dict(found.keyid, {"keytype": found.keytype, "scheme": found.scheme, "keyval": dict(found.keyval)})
        except (ValueError, KeyError) as error:
            message = f"the {self.zone} zone's public key for {role} can't be used: {error}"
            raise InputError(message) from error


def plain(key: Key) -> PublicKey:
    """Return a key as `public.json` holds it."""
    assert isinstance(key, SSlibKey)  # noqa: S101 - files, tokens and key services all give this class
    return PublicKey(keyid=key.keyid, keytype=key.keytype, scheme=key.scheme, keyval={"public": key.keyval["public"]})


def read_public(path: Path, *, zone: Zone) -> PublicKeys:
    """Read a `public.json` that must be of this zone; raise `InputError` if it is not."""
    found = _decode(path, zone)
    if found.zone != zone or found.format != FORMAT:
        message = f"{path}: public keys of the {found.zone} zone, format {found.format}; those of the {zone} zone are needed"
        raise InputError(message)
    return found


def read_any_public(paths: tuple[Path, ...]) -> dict[Zone, PublicKeys]:
    """Read the `public.json` of several zones; raise `InputError` if one is none, or two are of one zone."""
    found: dict[Zone, PublicKeys] = {}
    for path in paths:
        zone = _decode(path, "pipeline").zone
        if zone in found:
            message = f"{path}: the public keys of the {zone} zone are given twice; give the newest alone"
            raise InputError(message)
        found[zone] = read_public(path, zone=zone)
    return found


def _decode(path: Path, zone: Zone) -> PublicKeys:
    try:
        return msgspec.json.decode(path.read_bytes()[:LIMIT], type=PublicKeys, strict=True)
    except OSError as error:
        message = f"{path}: {error.strerror}; it is what `ordain keys init --zone {zone} --out` wrote"
        raise InputError(message) from error
    except (msgspec.MsgspecError, ValueError) as error:
        message = f"{path}: not a file of public keys: {error}"
        raise InputError(message) from error
