"""Key rings: which private keys a zone holds, where, and how they are unlocked.

Each zone has keys of its own and never sees another's. They are referred to by securesystemslib URIs (file, PKCS#11 token, key
service); those that ordain makes are Ed25519 (of the certificate authority: P-256), in PEM files that only their owner may read and that
are never overwritten. A role may have a second key, the one that follows (`shop/releases.next`): which of the two signs is said by the
trust that names one of them, so a zone needs no word from anybody when its key is rotated.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.exceptions import Error as SigningError
from securesystemslib.signer import CryptoSigner, Key, Signer

from agent.protocol.errors import InputError, RefusedError
from reconciler.publication.public_keys import NEXT, Zone, read_public
from reconciler.publication.secret_files import KeySecrets

OFFLINE_ROLES = ("root-1", "root-2", "root-3", "targets")
PIPELINE_TENANT_ROLES = ("releases",)
CONTROL_TENANT_ROLES = ("rollouts", "snapshot", "timestamp")
AUTHORITY_ROOT = "authority/root"
"""The key of the certificate authority's root, in a zone of its own, offline."""
AUTHORITY_SERVER = "authority/server"
"""The control zone's key that signs the certificates which servers show."""
AUTHORITY = "authority"
"""The control zone's key of each tenant that signs its agents' certificates."""
KEYS_TRIED = 100
"""Key files that are tried before a zone starts: with a wrong passphrase each takes some ten milliseconds."""
REPOSITORY = "repository"
"""The pipeline's own key: signs accepted state and decisions, and nobody else's trust names it."""
FILE = "file2:"
NO_SECRETS = KeySecrets()
ENCRYPTED = b"ENCRYPTED PRIVATE KEY"
"""Stands in the first line of a PEM file whose key is encrypted (RFC 7468)."""
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """The keys of one zone: files in `directory`, unless `uris` names another place for a role.

    Roles are `root-1` … `root-3` and `targets` (offline); `repository` and `<tenant>/releases` (pipeline); `<tenant>/rollouts`,
    `<tenant>/snapshot`, `<tenant>/timestamp`, `<tenant>/authority` and `authority/server` (control); `authority/root` (authority); each
    also with `.next` behind it. A key elsewhere needs its public half in the directory's `public.json`.
    """

    zone: Zone
    directory: Path
    uris: Mapping[str, str] = field(default_factory=dict)
    secrets: KeySecrets = NO_SECRETS
    _opened: dict[Path, tuple[_Stamp, Signer]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Key files that were read, until they change: decrypting one takes some ten milliseconds, and loops ask every second."""

    def path(self, role: str) -> Path:
        """Return where the key file of a role is, or would be."""
        return self.directory / f"{role}.pem"

    def has(self, role: str) -> bool:
        """Return whether this ring can sign for a role."""
        return bool(self._slots(role))

    def signer(self, role: str) -> Signer:
        """Return the signer of a role; raise `InputError` if the ring has no such key or can't use it."""
        uri = self.uris.get(role)
        place = self._file(role)
        try:
            if place is None:
                return Signer.from_priv_key_uri(uri or "", self.public(role), self.pin)
            return self._open(place, self._stated(role) if uri is not None else None)
        except FileNotFoundError as error:
            message = f"{place}: no such key; run `ordain keys init --zone {self.zone}`, or name the key's place in the settings"
            raise InputError(message) from error
        except (OSError, ValueError, TypeError, SigningError, UnsupportedAlgorithm) as error:
            message = f"the {self.zone} key for {role} ({uri or place}) can't be used: {error}"
            raise InputError(message) from error

    def signers(self, role: str) -> list[Signer]:
        """Return the signers of a role, the one that follows first; raise `InputError` if there is none."""
        return [self.signer(slot) for slot in self._slots(role) or [role]]

    def signer_among(self, role: str, keyids: Collection[str], *, named_by: str) -> Signer:
        """Return the signer of a role that a trust names; raise `RefusedError` if it names none of this ring's."""
        for signer in self.signers(role):
            if signer.public_key.keyid in keyids:
                return signer
        message = (
            f"the {self.zone} key for {role} is not one that {named_by} names: "
            "use the ring that it was made with, or rotate to this key (`ordain keys rotate`)"
        )
        raise RefusedError(message)

    def public(self, role: str) -> Key:
        """Return the public key of a role; raise `InputError` if the ring has none."""
        return self._stated(role) if role in self.uris or self._is_locked(role) else self.signer(role).public_key

    def publics(self, role: str) -> list[Key]:
        """Return the public keys that a role has here, the one that follows first."""
        return [self.public(slot) for slot in self._slots(role) or [role]]

    def former(self, role: str) -> list[Key]:
        """Return the public keys that a role had here, oldest first: for an audit of what they signed, and nothing else."""
        path = self.directory / "public.json"
        return read_public(path, zone=self.zone).former(role) if path.is_file() else []

    def require_unlocked(self) -> None:
        """Raise `InputError` where there are key files, and none of the first KEYS_TRIED can be used: the passphrase is wrong or missing.

        Where only some can't be used, that is a matter of the tenants that they belong to.
        """
        trouble: InputError | None = None
        for path in islice(sorted(self.directory.rglob("*.pem")), KEYS_TRIED):
            try:
                self.signer(path.relative_to(self.directory).with_suffix("").as_posix())
            except InputError as error:
                trouble = trouble or error
            else:
                return
        if trouble is not None:
            message = f"{self.directory}: no key there can be used: {trouble}"
            raise InputError(message)

    def _slots(self, role: str) -> list[str]:
        return [slot for slot in (role + NEXT, role) if slot in self.uris or self.path(slot).is_file()]

    def _file(self, role: str) -> Path | None:
        uri = self.uris.get(role)
        if uri is None:
            return self.path(role)
        return Path(uri.removeprefix(FILE)) if uri.startswith(FILE) else None

    def _is_locked(self, role: str) -> bool:
        path = self.path(role)
        return self.secrets.passphrase is None and path.is_file() and ENCRYPTED in path.read_bytes()

    def _stated(self, role: str) -> Key:
        return read_public(self.directory / "public.json", zone=self.zone).key(role)

    def _open(self, path: Path, stated: Key | None) -> Signer:
        found = path.stat()
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        known = self._opened.get(path)
        if known is None or known[0] != stamp:
            known = self._opened[path] = (stamp, CryptoSigner(load_pem_private_key(*self._unlocked(path))))
        if stated not in (None, known[1].public_key):
            message = f"it is not the key that {self.directory / 'public.json'} says"
            raise ValueError(message)
        return known[1]

    def _unlocked(self, path: Path) -> tuple[bytes, bytes | None]:
        data = path.read_bytes()
        if ENCRYPTED not in data:
            return data, None
        if self.secrets.passphrase is None:
            message = f"{path}: it is encrypted; name the file with its passphrase: [keys] passphrase_file, or --passphrase-file"
            raise InputError(message)
        return data, self.secrets.passphrase.read()

    def pin(self, _: str) -> str:
        """Return the PIN of a token, as securesystemslib asks for it; raise `InputError` where none is named."""
        if self.secrets.pin is None:
            message = f"the {self.zone} zone has a key on a token: name the file with its PIN: [keys] pin_file, or --pin-file"
            raise InputError(message)
        return self.secrets.pin.read().decode()
