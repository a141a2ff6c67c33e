"""Which forges there are, and how one is reached: the one place that knows them all."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.protocol.errors import InputError
from reconciler.forges import gitea, github, gitlab
from reconciler.forges.environment import Surroundings
from reconciler.forges.http import Api, Token
from reconciler.forges.patience import Patience
from reconciler.forges.shape import Forge, Limits

_OWNED = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_NESTED = re.compile(r"[0-9]+|[\w.-]+(/[\w.-]+)+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What differs from forge to forge before a word is said to it."""

    make: Callable[..., Forge]
    limits: Limits
    header: str
    """That takes the token there, after `prefix`."""
    prefix: str
    headers: Mapping[str, str]
    rights: str
    """What to give a token that may not do it."""
    repositories: re.Pattern[str]
    written: str
    """How a repository is written."""
    api: str
    """Where it is, unless something else is said; empty for a forge that everybody runs themselves."""
    token: str

    def check(self, repository: str) -> None:
        """Raise `InputError` for what can't be a repository there."""
        if not self.repositories.fullmatch(repository) or {".", ".."} & {*repository.split("/")}:
            message = f"--repository {repository!r}: write {self.written}"
            raise InputError(message)


KINDS: Mapping[str, Kind] = {
    "github": Kind(
        make=github.GitHub,
        limits=github.GITHUB.limits,
        header="Authorization",
        prefix="Bearer ",
        headers=github.HEADERS,
        rights=github.RIGHTS,
        repositories=_OWNED,
        written="OWNER/NAME",
        api=github.API,
        token="env:GITHUB_TOKEN",  # noqa: S106 - a variable's name
    ),
    "gitlab": Kind(
        make=gitlab.GitLab,
        limits=gitlab.LIMITS,
        header="PRIVATE-TOKEN",
        prefix="",
        headers={},
        rights=gitlab.RIGHTS,
        repositories=_NESTED,
        written="the project's number, or GROUP/NAME",
        api=gitlab.API,
        token="env:GITLAB_TOKEN",  # noqa: S106 - a variable's name
    ),
    "gitea": Kind(
        make=gitea.gitea,
        limits=gitea.GITEA.limits,
        header="Authorization",
        prefix="token ",
        headers={},
        rights=gitea.RIGHTS,
        repositories=_OWNED,
        written="OWNER/NAME",
        api="",
        token="env:GITEA_TOKEN",  # noqa: S106 - a variable's name
    ),
}
"""Forgejo's API is Gitea's."""


def to(about: Surroundings, *, token: str, author: str, patience: Patience) -> Forge:
    """Return the forge that a report is about; nothing is sent yet.

    Raises:
        InputError: the address is not https, or the token is none.
    """
    kind = KINDS[about.forge]
    sealed = Token(header=kind.header, prefix=kind.prefix, secret=token, named=about.token)
    api = Api(base=about.api, token=sealed, headers=kind.headers, rights=kind.rights, patience=patience)
    return kind.make(api, about.repository, author=author)
