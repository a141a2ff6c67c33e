"""GitHub, and GitHub Enterprise Server: the REST API of 2022-11-28, https://docs.github.com/rest. Gitea's is alike but for a `Dialect`.

A job's own token (`GITHUB_TOKEN`) may not ask who it is; what it writes is by `github-actions[bot]`. A token of another app may not
ask either, and can't tell its name: then `author` names it.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agent.protocol.errors import InputError
from reconciler.forges.answers import DeniedError, MissingError
from reconciler.forges.http import PER_PAGE, Api, path
from reconciler.forges.shape import Comment, Limits, PullRequest, State, Status

API = "https://api.github.com"
VERSION = "2022-11-28"
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": VERSION}
RIGHTS = (
    "give the job `permissions: {statuses: write, pull-requests: write}`, or a token of your own these rights. "
    "The job of a pull request from a fork may only read: see docs/forges.md#forks"
)
_STATES: Mapping[str, State] = {"success": "success", "failure": "failure", "error": "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What GitHub and Gitea say differently."""

    limits: Limits
    size: str
    """The query parameter for how long a page is."""
    pages_of_comments: bool
    """Whether comments come in pages at all."""
    nobody: str
    """The author of what a token writes that may not ask who it is; empty where that can't be known."""


GITHUB = Dialect(limits=Limits(description=140, comment=65_536), size="per_page", pages_of_comments=True, nobody="github-actions[bot]")
"""The limits are not in the published description: the API refuses more with 422."""


class _Status(msgspec.Struct):
    context: str
    state: str = ""
    status: str = ""
    """Gitea's name for the state."""
    description: str | None = None
    target_url: str | None = None


class _Combined(msgspec.Struct):
    statuses: list[_Status] | None


class _User(msgspec.Struct):
    login: str


class _Comment(msgspec.Struct):
    id: int
    html_url: str
    user: _User | None = None
    body: str | None = None


class _Head(msgspec.Struct):
    sha: str


class _Pull(msgspec.Struct):
    state: str
    head: _Head


class GitHub:
    """One repository there, `OWNER/NAME`."""

    def __init__(self, api: Api, repository: str, *, author: str = "", dialect: Dialect = GITHUB) -> None:
        """`author` is the login of the token's comments, where the token can't tell."""
        owner, _, name = repository.partition("/")
        self._api = api
        self._author = author
        self._dialect = dialect
        self._repository = path("repos", owner, name)

    @property
    def limits(self) -> Limits:
        """See `Forge`."""
        return self._dialect.limits

    def statuses(self, commit: str) -> Mapping[str, Status]:
        """See `Forge`."""
        combined = self._api.pages(self._repository + path("commits", commit, "status"), _Combined, **self._size())
        found = [one for page in combined for one in page.statuses or ()]
        return {
            one.context: Status(context=one.context, state=state, description=one.description or "", link=one.target_url or "")
            for one in found
            if (state := _STATES.get(one.state or one.status)) is not None
        }

    def set_status(self, commit: str, status: Status) -> None:
        """See `Forge`."""
        body = {"state": status.state, "context": status.context, "description": status.description}
        self._send("POST", path("statuses", commit), body | ({"target_url": status.link} if status.link else {}))

    def pull_request(self, number: int) -> PullRequest:
        """See `Forge`."""
        found = self._api.get(self._repository + path("pulls", number), _Pull)
        return PullRequest(open=found.state == "open", head=found.head.sha)

    def myself(self) -> str:
        """See `Forge`."""
        if self._author:
            return self._author
        try:
            return self._api.get("/user", _User).login
        except DeniedError as error:
            if self._dialect.nobody:
                return self._dialect.nobody
            message = f"{error}. Name the login of its comments yourself, with --author"
            raise InputError(message) from error

    def comments(self, number: int) -> Sequence[Comment]:
        """See `Forge`."""
        size = self._size() if self._dialect.pages_of_comments else {}
        return [
            Comment(id=one.id, author=one.user.login if one.user else "", body=one.body or "", link=one.html_url)
            for page in self._api.pages(self._repository + path("issues", number, "comments"), list[_Comment], **size)
            for one in page
        ]

    def add_comment(self, number: int, body: str) -> None:
        """See `Forge`."""
        self._send("POST", path("issues", number, "comments"), {"body": body})

    def edit_comment(self, number: int, comment: int, body: str) -> None:
        """See `Forge`."""
        del number
        self._send("PATCH", path("issues", "comments", comment), {"body": body})

    def remove_comment(self, number: int, comment: int) -> None:
        """See `Forge`."""
        del number
        with contextlib.suppress(MissingError):
            self._api.send("DELETE", self._repository + path("issues", "comments", comment))

    def _size(self) -> dict[str, int]:
        return {self._dialect.size: PER_PAGE}

    def _send(self, method: str, where: str, body: Mapping[str, str]) -> None:
        self._api.send(method, self._repository + where, body)
