"""What all forges have in common, and nothing that only one of them has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

State = Literal["success", "failure", "error"]
"""`error` is for what could not be judged, so that nobody reads it as a no, or as a yes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What one check says of a commit. `link` is where more of it is read, empty for nowhere."""

    context: str
    state: State
    description: str
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment as the forge has it; ids grow with time. `author` is the name that the author logs in with."""

    id: int
    author: str
    body: str
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A pull request (GitLab: merge request) as it is now; `head` is the commit that its branch is at."""

    open: bool
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a forge takes, in characters."""

    description: int
    comment: int


class Forge(Protocol):
    """One repository on a forge, by one token.

    Every method raises `WaitError` for what may do better later (then the whole step is repeated: an answer that was lost may
    have been a yes), `RefusedError` for what the token may not do, and `InputError` for a repository, a pull request, a commit or
    a token that the forge doesn't know.
    """

    @property
    def limits(self) -> Limits:
        """What it takes."""
        ...

    def statuses(self, commit: str) -> Mapping[str, Status]:
        """Return the newest status of each context that a commit has, those of others too."""
        ...

    def set_status(self, commit: str, status: Status) -> None:
        """Have a commit's newest status of a context be this one."""
        ...

    def pull_request(self, number: int) -> PullRequest:
        """Return a pull request."""
        ...

    def myself(self) -> str:
        """Return the name that the token's comments have as their author."""
        ...

    def comments(self, number: int) -> Sequence[Comment]:
        """Return all comments on a pull request as a whole."""
        ...

    def add_comment(self, number: int, body: str) -> None:
        """Add a comment."""
        ...

    def edit_comment(self, number: int, comment: int, body: str) -> None:
        """Have a comment say something else."""
        ...

    def remove_comment(self, number: int, comment: int) -> None:
        """Remove a comment; nothing happens where it is gone already."""
        ...
