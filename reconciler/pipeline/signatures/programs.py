"""Asking real ssh-keygen and gpg whether a signature holds. Each run has its own files, a limit of time, and no network.

gpg gets a home of its own: no keyring, no agent, no settings and no trust of whoever runs this counts.
"""

import base64
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from agent.protocol.errors import MalformedError, RetryError
from reconciler.pipeline.signatures.keys import NAMESPACE, CommitSignature, fingerprint, ssh_signer

SECONDS = 20.0
"""For one run: both answer in milliseconds, RSA of 16,384 bits included; more is a machine in trouble."""
PRINCIPAL = "signer"
"""Whom the one line of an allowed_signers file names: whose key it is, is known already."""
_REFUSED_STATES = {
    "EXPKEYSIG": "is made with a key that has expired",
    "REVKEYSIG": "is made with a key that was revoked",
    "EXPSIG": "has expired",
    "BADSIG": "does not fit the commit",
    "ERRSIG": "can't be checked with the keys that signers state",
}


class NotVerified(MalformedError):  # noqa: N818 - it says what is so, and no program failed
    """A signature that doesn't hold, or that no known key made; the text says why, as `its signature …`."""


def verify_ssh(signature: CommitSignature, known: Mapping[str, bytes]) -> str:
    """Return the fingerprint of the key that made an SSH signature; `known` are all keys by fingerprint.

    Raises:
        NotVerified: it doesn't hold, or none of these keys made it.
        RetryError: ssh-keygen can't be run.
    """
    try:
        blob = ssh_signer(signature.armour)
    except MalformedError as error:
        message = f"is {error}"
        raise NotVerified(message) from error
    name = fingerprint(blob)
    if name not in known:
        message = f"is by a key that no signer states ({name})"
        raise NotVerified(message)
    kind = blob[4 : 4 + int.from_bytes(blob[:4])].decode()
    with tempfile.TemporaryDirectory(prefix="ordain-signature.") as directory:
        allowed, armour = Path(directory) / "allowed_signers", Path(directory) / "signature"
        allowed.write_text(f'{PRINCIPAL} namespaces="{NAMESPACE}" {kind} {base64.b64encode(blob).decode()}\n')
        armour.write_bytes(signature.armour)
        command = ("ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", PRINCIPAL, "-n", NAMESPACE, "-s", str(armour))
        done = _run(command, signature.payload, what="ssh-keygen (OpenSSH 8.2 or later)")
    if done.returncode != 0:
        message = f"does not fit the commit ({name})"
        raise NotVerified(message)
    return name


class Keyring:
    """A gpg home with the keys that signers state, made once for a set of them and removed with `close`."""

    def __init__(self, blocks: Sequence[str]) -> None:
        """Import the armoured keys; one that gpg can't read is passed over, since its manifest is refused for it."""
        self._home = tempfile.TemporaryDirectory(prefix="ordain-gpg.")
        self.owners: dict[str, set[str]] = {}
        """Fingerprint of a primary key → the blocks that hold it."""
        for block in blocks:
            for primary in self._import(block):
                self.owners.setdefault(primary, set()).add(block)

    def close(self) -> None:
        """Remove the home."""
        self._home.cleanup()

    def _import(self, block: str) -> list[str]:
        shown = self._gpg(("--with-colons", "--show-keys"), block.encode())
        if shown.returncode == 0:
            self._gpg(("--import",), block.encode())
        return primaries(shown.stdout)

    def verify(self, signature: CommitSignature, now: datetime) -> str:
        """Return the fingerprint of the primary key that made an OpenPGP signature.

        Raises:
            NotVerified: it doesn't hold at that time, or none of these keys made it.
            RetryError: gpg can't be run.
        """
        with tempfile.TemporaryDirectory(prefix="ordain-signature.") as directory:
            armour = Path(directory) / "signature"
            armour.write_bytes(signature.armour)
            at = f"{int(now.timestamp())}!"
            done = self._gpg(
                ("--trust-model", "always", "--faked-system-time", at, "--status-fd", "1", "--verify", str(armour), "-"), signature.payload
            )
        return _outcome(done.stdout)

    def _gpg(self, arguments: Sequence[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        quiet = ("--batch", "--no-tty", "--quiet", "--no-options", "--no-autostart", "--disable-dirmngr", "--no-auto-key-retrieve")
        own = ("--homedir", self._home.name, "--no-auto-key-locate", "--weak-digest", "SHA1")
        return _run(("gpg", *quiet, *own, *arguments), stdin, what="gpg (GnuPG 2.2 or later)")


def primaries_of(block: str) -> list[str]:
    """Return the fingerprints of the primary keys in an OpenPGP block; none where it can't be read. Raise `RetryError` without gpg."""
    ring = Keyring([block])
    ring.close()
    return sorted(ring.owners)


def primaries(colons: bytes) -> list[str]:
    """Return the fingerprints of primary keys in what `gpg --show-keys --with-colons` prints."""
    return [found.decode() for found in re.findall(rb"^pub:[^\n]*\nfpr:(?:[^:\n]*:){8}([0-9A-F]{40,64}):", colons, re.MULTILINE)]


def _outcome(status: bytes) -> str:
    """Read gpg's status lines; only one good and valid signature is one. See DETAILS in gpg's own documentation."""
    lines = [line.split()[1:] for line in status.decode(errors="replace").splitlines() if line.startswith("[GNUPG:] ")]
    words = [line[0] for line in lines if line]
    for word, why in _REFUSED_STATES.items():
        if word in words:
            raise NotVerified(why)
    valid = [line for line in lines if line and line[0] == "VALIDSIG"]
    if words.count("GOODSIG") != 1 or len(valid) != 1 or len(valid[0]) < 2:  # noqa: PLR2004 - the word and a fingerprint
        message = "can't be checked: gpg says neither that it is good nor why not"
        raise NotVerified(message)
    return valid[0][-1]


def _run(command: Sequence[str], stdin: bytes, *, what: str) -> subprocess.CompletedProcess[bytes]:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": "/nonexistent"}
    try:
        return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=SECONDS, env=environment)
    except FileNotFoundError as error:
        message = f"{what} is not on PATH, and is needed to verify commits: install it"
        raise RetryError(message) from error
    except subprocess.TimeoutExpired as error:
        message = f"{what} gave no answer within {SECONDS:.0f} s; see what keeps this machine busy"
        raise RetryError(message) from error
