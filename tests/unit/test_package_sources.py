"""The files that make a repository known: what is in them, and what would not stay in its own line."""

from pathlib import Path

import msgspec
import pytest

from agent.host import Host
from agent.protocol.errors import RefusedError
from agent.protocol.state import Repository
from agent.providers.packages import sources

KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n-----END PGP PUBLIC KEY BLOCK-----"
APT = Repository(
    name="ours", manager="apt", url="https://example.com/debian", key=KEY, suites=["bookworm", "bookworm-extra"], components=["main"]
)
DNF = Repository(name="ours", manager="dnf", url="https://example.com/el9", key=KEY)


def test_a_source_of_apt_is_held_to_its_own_key() -> None:
    files = sources.apt_files(APT, Host(Path("/")))
    assert files["/etc/apt/keyrings/ordain-ours.asc"].decode() == KEY + "\n"
    assert files["/etc/apt/sources.list.d/ordain-ours.sources"].decode().splitlines()[1:] == [
        "Types: deb",
        "URIs: https://example.com/debian",
        "Suites: bookworm bookworm-extra",
        "Components: main",
        "Signed-By: /etc/apt/keyrings/ordain-ours.asc",
    ]


def test_a_repository_of_dnf_checks_its_packages_by_its_own_key() -> None:
    files = sources.dnf_files(DNF, Host(Path("/")))
    assert files["/etc/yum.repos.d/ordain-ours.repo"].decode().splitlines()[1:] == [
        "[ordain-ours]",
        "name=ordain ours",
        "baseurl=https://example.com/el9",
        "enabled=1",
        "gpgcheck=1",
        "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-ordain-ours",
    ]


@pytest.mark.parametrize("suites", [["/"], ["./"], ["stable/"]])
def test_a_repository_without_suites_is_written_as_apt_wants_it(suites: list[str]) -> None:
    sources.require(msgspec.structs.replace(APT, suites=suites, components=[]))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "../evil"}, "is no name of a file"),
        ({"url": "https://example.com/a\nSigned-By: /tmp/key"}, "is not an address"),
        ({"url": "https://example.com/a b"}, "is not an address"),
        ({"url": "cdrom:/media"}, "is not an address"),
        ({"suites": ["bookworm\nTrusted: yes"]}, "characters that none has"),
        ({"components": ["main contrib"]}, "characters that none has"),
        ({"key": "mDMEZ"}, "is not an armoured OpenPGP key"),
        ({"suites": []}, "needs suites with components"),
        ({"components": []}, "needs suites with components"),
        ({"suites": ["/"]}, "needs suites with components"),
    ],
)
def test_what_would_not_stay_in_its_own_line_or_apt_could_not_read_is_refused(change: dict[str, object], why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        sources.require(msgspec.structs.replace(APT, **change))
