"""How the agent is run, and how gently it fetches: what a host's owner decides beside what bundles may touch (`agent.owner.allow`)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.owner.configuration import SECTIONS, read_sections
from agent.protocol import duration
from agent.protocol.errors import InputError, MalformedError
from agent.protocol.identity import require_agent, require_label

DEFAULT_STATE = Path("/var/lib/ordain-agent")
DEFAULT_CONFIG = "/etc/ordain/agent.toml"
"""Under `--root`."""
DEFAULT_POLL_SECONDS = 30.0
ROOT_METADATA_LIMIT = 512_000
"""Bytes of root metadata: python-tuf's own bound."""
REBOOT = ("shutdown", "-r", "now")
"""How a host is rebooted, unless `agent.toml` says so."""
REFRESH_SECONDS = 300
"""Between two looks at what Vault holds: a value that was rotated there is here soon, and 10,000 hosts ask 33 times a second."""
LEAST_REFRESH = 5
CONFIRM_SECONDS = 300
"""How long a host tries to reach its server after a switch before it goes back: a server that is started anew is there within."""
LEAST_CONFIRM = 10
STAGGER_LIMIT = 86_400
"""Seconds: a release that reaches its last host days later is a rollout's work, which counts and can be stopped."""
_BYTES = re.compile(r"([1-9][0-9]{0,8})([KMG]i?B)", re.ASCII)
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one agent runs."""

    server: str
    """Where repositories are served: `https://…` or `http://…`, without a trailing slash."""
    bootstrap: bytes
    """Root metadata, the anchor of all trust; bytes, so that a damaged copy on disk never locks the agent out."""
    tenant: str
    name: str
    """The agent's name, or `<pool>/<id>`."""
    root: Path
    """The prefix under which all managed paths lie; `/` on a real host."""
    state: Path
    """The agent's own directory."""
    config: Path
    """`agent.toml`."""
    poll: float = DEFAULT_POLL_SECONDS
    """Seconds between polls; each wait is up to a fifth shorter or longer, so that a fleet doesn't poll in step."""


def require_server(url: str) -> str:
    """Return the server's address without a trailing slash; raise `InputError` if it is not http(s)."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        message = f"--server {url!r}: give an address like https://ordain.example.com"
        raise InputError(message)
    return url.rstrip("/")


def require_directory(root: Path) -> Path:
    """Return the directory below which everything is managed; raise `InputError` if there is none."""
    if not root.is_dir():
        message = f"--root {root}: no such directory"
        raise InputError(message)
    return root.resolve()


def read_root_metadata(path: Path) -> bytes:
    """Return the bytes of the root metadata file; raise `InputError` if there is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"--root-metadata {path}: {error.strerror}; copy the tenant's root metadata here first"
        raise InputError(message) from error
    if len(data) > ROOT_METADATA_LIMIT:
        message = f"--root-metadata {path}: {len(data)} bytes is no root metadata"
        raise InputError(message)
    return data


def require_identity(tenant: str, name: str) -> None:
    """Raise `InputError` unless tenant and name are ones that a fleet repository could hold."""
    try:
        require_label(tenant, "--tenant")
        require_agent(name)
    except MalformedError as error:
        raise InputError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloads:
    """How gently this host fetches artifacts; 0 is without a bound."""

    rate: int = 0
    """Bytes a second, `rate = "10MB/s"`."""
    stagger: int = 0
    """Seconds over which the hosts of a fleet spread, `stagger = "5m"`; each waits its own part of it before a large artifact."""
    unpacked: int = 0
    """The most bytes that an archive may unpack to here, whatever its release states, `unpacked = "2GiB"`."""


def read_downloads(path: Path) -> Downloads:
    """Read how gently to fetch from `agent.toml`; raise `InputError` if there is one that is not understood in full."""
    _, document = read_sections(path)
    stated = document["downloads"]
    rate, stagger, unpacked = (stated.get(name) for name in SECTIONS["downloads"])
    try:
        spread = 0 if stagger is None else duration.seconds(stagger) if isinstance(stagger, str) else -1
    except MalformedError:
        spread = -1
    speed, most = _bytes(rate, "/s"), _bytes(unpacked)
    if speed is None or most is None or not 0 <= spread <= STAGGER_LIMIT:
        message = (
            f'{path}: downloads are stated as rate = "10MB/s" (KB, MB, GB, KiB, MiB or GiB), stagger = "5m", at most 1d, '
            'and unpacked = "2GiB"'
        )
        raise InputError(message)
    return Downloads(rate=speed, stagger=spread, unpacked=most)


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultAccess:
    """How this host reaches Vault or OpenBao, and by which identity of its own: a token, an AppRole, or a certificate."""

    address: str
    namespace: str = ""
    ca: str = ""
    """File with the authorities that its certificate must be of; left out, the system's."""
    token_file: str = ""
    role_id_file: str = ""
    secret_id_file: str = ""
    certificate: str = ""
    key: str = ""
    role: str = ""
    """The role of the certificate's login, where it has several."""
    auth_mount: str = ""
    """Where the way to log in is mounted; left out, `approle` or `cert`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsAccess:
    """What of this host's may be used to get secrets."""

    age_keys: tuple[str, ...] = ()
    """Files with keys of fleets, beside this host's own key."""
    refresh: int = REFRESH_SECONDS
    """Seconds between two looks at what Vault holds, `refresh = "5m"`."""
    vault: VaultAccess | None = None


def read_secrets(path: Path) -> SecretsAccess:
    """Read how this host gets secrets from `agent.toml`; raise `InputError` if it is not understood in full."""
    _, document = read_sections(path)
    stated, vault = document["secrets"], document["vault"]
    keys, refresh = stated.get("age_keys", []), stated.get("refresh", f"{REFRESH_SECONDS}s")
    try:
        every = duration.seconds(refresh) if isinstance(refresh, str) else 0
    except MalformedError:
        every = 0
    if not isinstance(keys, list) or not all(isinstance(key, str) and key.startswith("/") for key in keys) or every < LEAST_REFRESH:
        message = f'{path}: secrets are stated as age_keys = ["/etc/ordain/keys/web.key"] and refresh = "5m", at least {LEAST_REFRESH}s'
        raise InputError(message)
    return SecretsAccess(age_keys=tuple(keys), refresh=every, vault=_vault(path, vault) if vault else None)


def _vault(path: Path, stated: dict[str, Any]) -> VaultAccess:
    if not all(isinstance(value, str) for value in stated.values()):
        message = f"{path}: everything in [vault] is text in quotes"
        raise InputError(message)
    access = VaultAccess(**{"address": "", **stated})
    parts = urlsplit(access.address)
    ways = [
        bool(access.token_file),
        bool(access.role_id_file and access.secret_id_file),
        bool(access.certificate and access.key),
    ]
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        message = f'{path}: [vault] needs address = "https://vault.example.com:8200"; nothing is asked without TLS'
        raise InputError(message)
    if sum(ways) != 1:
        message = f"{path}: [vault] needs one of token_file, role_id_file with secret_id_file, and certificate with key"
        raise InputError(message)
    return access


def read_reboot(path: Path) -> tuple[str, ...]:
    """Read by which command this host is rebooted, empty if `agent.toml` doesn't say; raise `InputError` if it isn't understood."""
    _, document = read_sections(path)
    command = document["reboot"].get("command", [])
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        message = f'{path}: how to reboot is stated as command = ["/sbin/shutdown", "-r", "now"]'
        raise InputError(message)
    return tuple(command)


def read_confirm(path: Path) -> int:
    """Read for how many seconds the server may be silent after a switch, 0 for ever; raise `InputError` if it isn't understood."""
    _, document = read_sections(path)
    stated = document["confirm"].get("within", f"{CONFIRM_SECONDS}s")
    try:
        seconds = duration.seconds(stated) if isinstance(stated, str) else -1
    except MalformedError:
        seconds = -1
    if seconds and seconds < LEAST_CONFIRM:
        message = f'{path}: how long the server may be silent after a switch is within = "5m", at least {LEAST_CONFIRM}s, or "0s" for ever'
        raise InputError(message)
    return seconds


def _bytes(stated: object, ending: str = "") -> int | None:
    """Return a number of bytes, 0 where none is stated, None where it can't be read."""
    if stated is None:
        return 0
    found = _BYTES.fullmatch(stated.removesuffix(ending)) if isinstance(stated, str) and stated.endswith(ending) else None
    return int(found[1]) * _UNITS[found[2]] if found else None
