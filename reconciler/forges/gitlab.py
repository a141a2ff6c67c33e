"""GitLab: the REST API v4, https://docs.gitlab.com/api/rest/.

A commit's statuses are jobs of an external stage of its pipeline there, so one that failed fails the pipeline. There is no state for
what could not be judged: it is `canceled`, which is no success either.
"""

import contextlib
from collections.abc import Mapping, Sequence

import msgspec

from reconciler.forges.answers import InvalidError, MissingError
from reconciler.forges.http import PER_PAGE, Api, path
from reconciler.forges.shape import Comment, Limits, PullRequest, State, Status

API = "https://gitlab.com/api/v4"
LIMITS = Limits(description=255, comment=1_000_000)
LINK_LIMIT = 255
"""Characters of a status's link; a longer one is left out, rather than refused."""
RIGHTS = (
    "give it the scope api and the role Developer (a project access token has both); a job's own CI_JOB_TOKEN may not comment. "
    "Merge requests from forks: see docs/forges.md#forks"
)
STATES: Mapping[str, State] = {"success": "success", "failed": "failure", "canceled": "error"}
_WRITTEN = {ours: theirs for theirs, ours in STATES.items()}
SAME_STATE = "Cannot transition status"
"""What a status is refused with that has the state already."""


class _Status(msgspec.Struct):
    name: str
    status: str
    description: str | None = None
    target_url: str | None = None


class _User(msgspec.Struct):
    username: str


class _Note(msgspec.Struct):
    id: int
    author: _User
    body: str | None = None
    system: bool = False


class _MergeRequest(msgspec.Struct):
    state: str
    sha: str | None = None


class GitLab:
    """One project there, by its number or its path."""

    limits = LIMITS

    def __init__(self, api: Api, repository: str, *, author: str = "") -> None:
        """`author` is the username of the token's comments, where it is not to be asked."""
        self._api = api
        self._author = author
        self._project = path("projects", repository)

    def statuses(self, commit: str) -> Mapping[str, Status]:
        """See `Forge`."""
        return {
            one.name: Status(context=one.name, state=state, description=one.description or "", link=one.target_url or "")
            for page in self._api.pages(self._project + path("repository", "commits", commit, "statuses"), list[_Status], per_page=PER_PAGE)
            for one in page
            if (state := STATES.get(one.status)) is not None
        }

    def set_status(self, commit: str, status: Status) -> None:
        """See `Forge`; where it has the state already and another text, the text stays."""
        body = {"state": _WRITTEN[status.state], "name": status.context, "description": status.description}
        link = {"target_url": status.link} if 0 < len(status.link) <= LINK_LIMIT else {}
        try:
            self._api.send("POST", self._project + path("statuses", commit), body | link)
        except InvalidError as error:
            if SAME_STATE not in str(error):
                raise

    def pull_request(self, number: int) -> PullRequest:
        """See `Forge`."""
        found = self._api.get(self._merge_request(number), _MergeRequest)
        return PullRequest(open=found.state == "opened", head=found.sha or "")

    def myself(self) -> str:
        """See `Forge`."""
        return self._author or self._api.get("/user", _User).username

    def comments(self, number: int) -> Sequence[Comment]:
        """See `Forge`; what GitLab itself notes is left out."""
        return [
            Comment(id=one.id, author=one.author.username, body=one.body or "")
            for page in self._api.pages(self._merge_request(number) + "/notes", list[_Note], per_page=PER_PAGE, sort="asc")
            for one in page
            if not one.system
        ]

    def add_comment(self, number: int, body: str) -> None:
        """See `Forge`."""
        self._api.send("POST", self._merge_request(number) + "/notes", {"body": body})

    def edit_comment(self, number: int, comment: int, body: str) -> None:
        """See `Forge`."""
        self._api.send("PUT", self._merge_request(number) + path("notes", comment), {"body": body})

    def remove_comment(self, number: int, comment: int) -> None:
        """See `Forge`."""
        with contextlib.suppress(MissingError):
            self._api.send("DELETE", self._merge_request(number) + path("notes", comment))

    def _merge_request(self, number: int) -> str:
        return self._project + path("merge_requests", number)
