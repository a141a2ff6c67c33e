"""Moving git objects between the mirror and the watched repository, within limits of time, size and silence."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

import pygit2
from pygit2.callbacks import RemoteCallbacks
from pygit2.enums import CredentialType
from pygit2.remotes import TransferProgress

from agent.protocol.errors import RefusedError, RetryError
from reconciler.pipeline.source.location import Credentials, Location, refuse_alternates
from reconciler.pipeline.source.ssh import SshAccess, require_ssh, why_not_believed

T = TypeVar("T")
NOT_FORWARD = "contains commits that are not present locally"
"""How libgit2 says that a push lost a race; pygit2 gives it no class of its own."""
GRACE = 1.0
"""Seconds past its deadline in which a transfer may end by itself, and say more of why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """What one fetch or push may cost."""

    seconds: float = 60.0
    """From the first byte sent to the last one stored."""
    bytes: int = 1024 * 1024 * 1024
    """Received by one fetch, as packed."""
    silence: float = 10.0
    """Seconds without a byte from the remote, and until it takes a connection."""


class _Callbacks(RemoteCallbacks):
    """Ends a transfer at its limits, and hands the token to the one host that it is for; `known_hosts` is the text of that file."""

    def __init__(self, location: Location, limits: SourceLimits, credentials: Credentials | SshAccess | None) -> None:
        super().__init__()
        self.known_hosts = ""
        self.believed = False
        self._location, self._limits, self._credentials = location, limits, credentials
        self._deadline = time.monotonic() + limits.seconds
        self._asked = False
        self.rejected = ""

    def check_time(self) -> None:
        """Raise `RetryError` past the deadline."""
        if time.monotonic() > self._deadline:
            raise RetryError(self.too_late)

    @property
    def too_late(self) -> str:
        """What to say of a transfer that took too long."""
        return f"{self._location}: not done after {self._limits.seconds:g} s; look at its load, or raise the limit of time"

    def sideband_progress(self, string: str) -> None:
        """Look at the clock while the remote counts and packs."""
        del string
        self.check_time()

    def transfer_progress(self, stats: TransferProgress) -> None:
        """Look at the clock and the size while objects arrive."""
        self.check_time()
        if stats.received_bytes > self._limits.bytes:
            message = (
                f"{self._location}: more than {self._limits.bytes} bytes to fetch; make the repository smaller, or raise the limit of size"
            )
            raise RetryError(message)

    def push_transfer_progress(self, objects_pushed: int, total_objects: int, bytes_pushed: int) -> None:
        """Look at the clock while objects leave."""
        del objects_pushed, total_objects, bytes_pushed
        self.check_time()

    def push_update_reference(self, refname: str, message: str | None) -> None:
        """Remember why the remote didn't take a ref."""
        if message is not None:
            self.rejected = f"{refname}: {message}"

    def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:  # noqa: FBT001 - pygit2's own
        """Take what libgit2 says of a server; for ssh, say what to do about one that is not believed."""
        access = self._credentials
        if not isinstance(access, SshAccess):
            return super().certificate_check(certificate, valid, host)
        if not valid:
            message = f"{self._location}: {why_not_believed(access, self.known_hosts, self._location.host, self._location.port)}"
            raise RetryError(message)
        self.believed = True
        return True

    def require_belief(self) -> None:
        """Raise `RetryError` if nobody asked whether a server of ssh is believed: a libgit2 that runs a program for ssh does not."""
        if self._location.user and not self.believed:
            message = f"{self._location}: this libgit2 did not ask whether that server is believed; install pygit2's own wheel"
            raise RetryError(message)

    def credentials(self, url: str, username_from_url: str | None, allowed_types: CredentialType) -> pygit2.UserPass | pygit2.Keypair:
        """Give the token once, to the host of the configured URL: not to one that it redirects to. Over ssh, log in with the key."""
        del username_from_url
        if isinstance(self._credentials, SshAccess):
            return self._key(self._credentials, allowed_types)
        if self._credentials is None or not allowed_types & CredentialType.USERPASS_PLAINTEXT:
            message = (
                f"{self._location}: asks who we are, and no token is named for it; set the source's credentials to env:NAME or file:PATH"
            )
            raise RetryError(message)
        if urlsplit(url).hostname != self._location.host or urlsplit(url).scheme != "https":
            message = f"{self._location}: sent us on to another host, which does not get its token; give that URL instead"
            raise RetryError(message)
        if self._asked:
            message = f"{self._location}: the token was not taken; renew it where the credentials point to"
            raise RetryError(message)
        self._asked = True
        return pygit2.UserPass(self._credentials.username, self._credentials.token())

    def _key(self, access: SshAccess, allowed: CredentialType) -> pygit2.Keypair:
        if self._asked or not allowed & CredentialType.SSH_KEY:
            message = (
                f"{self._location}: our key ({access.key}) was not taken for {self._location.user}; add its public half to the repository, "
                "and see that it has no passphrase"
            )
            raise RetryError(message)
        self._asked = True
        return access.keypair(self._location.user)


class Transfer:
    """Fetches and pushes between a mirror and one location; the URL stays out of the mirror's configuration.

    libgit2 calls back only now and then, and a remote that sends one byte at a time can keep it from doing so at all.
    So each transfer runs in a thread of its own, which is left behind at its deadline: it ends at its next call back,
    without having moved a ref. Until then no other one is started.
    """

    def __init__(
        self, *, location: Location, limits: SourceLimits, credentials: Credentials | None, ssh: SshAccess | None, home: Path
    ) -> None:
        """`home` is where libgit2 is told to look for files of ssh; raise `InputError` where the location needs what was not named."""
        self._location, self._limits, self._home = location, limits, home
        self._credentials = require_ssh(ssh) if location.user else credentials
        self._running: threading.Thread | None = None
        self.head_branch = ""
        """The ref that the remote's HEAD named when last asked; empty if none."""

    def list_heads(self, repository: pygit2.Repository) -> dict[str, str]:
        """Return ref → sha of the location, and see which branch its HEAD names; raise `RetryError`."""

        def ask(remote: pygit2.Remote, callbacks: _Callbacks) -> list[tuple[str, str, str]]:
            heads = remote.list_heads(callbacks=callbacks, proxy=True)
            return [(head.name, str(head.oid), head.symref_target or "") for head in heads if head.name]

        heads = self._attempt(repository, ask)
        self.head_branch = next((target for name, _, target in heads if name == "HEAD"), "")
        return {name: sha for name, sha, _ in heads}

    def fetch(self, repository: pygit2.Repository, refspecs: Sequence[str]) -> None:
        """Bring refs here; raise `RetryError`."""
        self._attempt(repository, lambda remote, callbacks: remote.fetch(list(refspecs), callbacks=callbacks, proxy=True))

    def push(self, repository: pygit2.Repository, refspec: str) -> None:
        """Send one ref there, only forward; raise `RefusedError` if the remote doesn't take it or has moved on, else `RetryError`."""

        def send(remote: pygit2.Remote, callbacks: _Callbacks) -> None:
            remote.push([refspec], callbacks=callbacks, proxy=True)
            if callbacks.rejected:
                raise RefusedError(callbacks.rejected)

        self._attempt(repository, send)

    def _attempt(self, repository: pygit2.Repository, action: Callable[[pygit2.Remote, _Callbacks], T]) -> T:
        """Run a transfer in its thread, on a repository handle of its own; return or raise what it does."""
        if self._running is not None and self._running.is_alive():
            message = f"{self._location}: an earlier transfer still hangs; it is asked again when that one ends"
            raise RetryError(message)
        pygit2.settings.server_timeout = pygit2.settings.server_connect_timeout = int(self._limits.silence * 1000)
        done: list[T] = []
        failed: list[Exception] = []
        callbacks = _Callbacks(self._location, self._limits, self._credentials)

        def run() -> None:
            try:
                refuse_alternates(self._location)
                if isinstance(self._credentials, SshAccess):
                    callbacks.known_hosts = self._credentials.believe(self._home)
                remote = pygit2.Repository(repository.path).remotes.create_anonymous(self._location.url)
                found = action(remote, callbacks)
                callbacks.require_belief()
                done.append(found)
            except Exception as error:  # noqa: BLE001 - raised again by the caller's thread
                failed.append(error)

        self._running = threading.Thread(target=run, name="git transfer", daemon=True)
        self._running.start()
        self._running.join(self._limits.seconds + GRACE)
        if failed:
            self._raise(failed[0])
        if not done:
            raise RetryError(callbacks.too_late)
        return done[0]

    def _raise(self, error: Exception) -> NoReturn:
        if NOT_FORWARD in str(error):
            message = f"{self._location}: somebody else wrote there in between"
            raise RefusedError(message) from error
        if isinstance(error, (pygit2.GitError, KeyError, ValueError, OSError)):
            message = f"{self._location}: {_explain(error)}"
            raise RetryError(message) from error
        raise error


def _explain(error: Exception) -> str:
    """Return what went wrong and what to do about it; libgit2 says the first, not always the second."""
    text = str(error) or type(error).__name__
    for sign, remedy in _REMEDIES.items():
        if sign in text.lower():
            return f"{text}; {remedy}"
    return text


_REMEDIES = {
    "not owned by current user": "let the reconciler's user own it, or run `git config --global --add safe.directory PATH` as that user",
    "no such file": "give the path of a git repository that is there",
    "could not find repository": "give the path of a git repository",
    "permission denied": "let the reconciler's user read it",
    "failed to start ssh session": "the server does not answer as one of ssh does; look at host and port",
    "certificate": "add the authority that signed it to the file that SSL_CERT_FILE names",
    "temporarily unavailable": "the remote fell silent; it is asked again at the next poll",
    "timed out": "the remote fell silent; it is asked again at the next poll",
    "401": "the token was not taken; renew it where the credentials point to",
    "403": "the token may not do that; give it the right to read (and to write notes)",
    "404": "no such repository, or the token may not see it",
}
"""Part of what libgit2 says → what to do next."""
