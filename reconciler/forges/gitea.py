"""Gitea 1.20 and later, and Forgejo: the API under `/api/v1`, which is described at `/api/swagger` of each of them.

It is GitHub's for what is needed here, with other names for a few things, and gives all comments at once.
"""

from reconciler.forges.github import Dialect, GitHub
from reconciler.forges.http import Api
from reconciler.forges.shape import Limits

GITEA = Dialect(limits=Limits(description=255, comment=65_536), size="limit", pages_of_comments=False, nobody="")
"""It bounds neither; these are what its pages show well, and what GitHub takes."""
RIGHTS = (
    "give it the scopes write:repository, write:issue and read:user, and its user write access to the repository. "
    "The job of a pull request from a fork may only read: see docs/forges.md#forks"
)


def gitea(api: Api, repository: str, *, author: str = "") -> GitHub:
    """Return one repository there, `OWNER/NAME`."""
    return GitHub(api, repository, author=author, dialect=GITEA)
