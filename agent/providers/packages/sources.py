"""The files that make a repository known to apt or dnf. Pure.

Each repository has a key of its own: apt trusts it for that repository and nothing else (`Signed-By`), rpm puts it into its one
keyring when dnf installs the first package (`gpgkey`).
"""

import re
from urllib.parse import urlsplit

from agent.host import STAGED_PREFIX, Host
from agent.protocol.errors import RefusedError
from agent.protocol.state import Repository

NOTE = "# Written by ordain; changes are put right again.\n"
ARMOUR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")
_WORD = re.compile(r"\.?/|[A-Za-z0-9][A-Za-z0-9._/+~-]*")
_SCHEMES = ("https", "http", "file")


def require(repository: Repository) -> None:
    """Raise `RefusedError` for a repository whose fields would not stay in their own lines, or whose key is none."""
    where = f"package repository {repository.name[:128]!r}"
    if not _NAME.fullmatch(repository.name):
        message = f"{where} is no name of a file"
        raise RefusedError(message)
    address = urlsplit(repository.url)
    if address.scheme not in _SCHEMES or re.search(r"[^!-~]", repository.url):
        message = f"{where}: {repository.url[:200]!r} is not an address that begins with https://, http:// or file:///"
        raise RefusedError(message)
    if not all(_WORD.fullmatch(word) for word in (*repository.suites, *repository.components)):
        message = f"{where}: a suite or component has characters that none has"
        raise RefusedError(message)
    if not repository.key.lstrip().startswith(ARMOUR):
        message = f"{where}: its key is not an armoured OpenPGP key; `gpg --armor --export` prints one"
        raise RefusedError(message)
    flat = {suite.endswith("/") for suite in repository.suites}
    if repository.manager == "apt" and (len(flat) != 1 or flat == {bool(repository.components)}):
        message = f"{where}: one for apt needs suites with components, or suites that end in / (one without suites is /) without any"
        raise RefusedError(message)


def apt_files(repository: Repository, host: Host, *, trial: bool = False) -> dict[str, bytes]:
    """Return the key and the deb822 source: path → content. A `trial` has names that apt passes over unless told."""
    before = STAGED_PREFIX if trial else "ordain-"
    key = f"/etc/apt/keyrings/{before}{repository.name}.asc"
    lines = [
        "Types: deb",
        f"URIs: {repository.url}",
        f"Suites: {' '.join(repository.suites)}",
        *([f"Components: {' '.join(repository.components)}"] if repository.components else []),
        f"Signed-By: {host.outside(key)}",
    ]
    return {key: _key(repository), f"/etc/apt/sources.list.d/{before}{repository.name}.sources": (NOTE + "\n".join(lines) + "\n").encode()}


def dnf_files(repository: Repository, host: Host) -> dict[str, bytes]:
    """Return the key and the .repo file: path → content."""
    key = f"/etc/pki/rpm-gpg/RPM-GPG-KEY-ordain-{repository.name}"
    lines = [
        f"[ordain-{repository.name}]",
        f"name=ordain {repository.name}",
        f"baseurl={repository.url}",
        "enabled=1",
        "gpgcheck=1",
        f"gpgkey={host.outside(key).as_uri()}",
    ]
    return {key: _key(repository), f"/etc/yum.repos.d/ordain-{repository.name}.repo": (NOTE + "\n".join(lines) + "\n").encode()}


def _key(repository: Repository) -> bytes:
    return (repository.key.strip() + "\n").encode()
