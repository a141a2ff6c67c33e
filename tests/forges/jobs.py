"""What the environment of a CI job says on each forge, for a job about pull request 7."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.forges.gitea import Gitea
from tests.forges.github import GitHub
from tests.forges.gitlab import GitLab

HEAD, MERGE, BASE = "a" * 40, "b" * 40, "c" * 40
TOKEN = "secret-token"


def event(place: Path, said: Mapping[str, Any]) -> str:
    """Write an event's file; return its name."""
    file = place / "event.json"
    file.write_text(json.dumps(said))
    return str(file)


def pull_request(head: str = HEAD, base: str = BASE) -> dict[str, Any]:
    """Return what counts in the event of a pull request."""
    return {"number": 7, "pull_request": {"number": 7, "head": {"sha": head}, "base": {"sha": base}}, "action": "synchronize"}


def of_github(address: str, place: Path, head: str = HEAD, base: str = BASE) -> dict[str, str]:
    """Return the variables of a job of GitHub's."""
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": address,
        "GITHUB_EVENT_PATH": event(place, pull_request(head, base)),
        "GITHUB_REPOSITORY": "acme/fleets",
        "GITHUB_RUN_ID": "12",
        "GITHUB_SERVER_URL": "https://github.example.com",
        "GITHUB_SHA": MERGE,
        "GITHUB_TOKEN": TOKEN,
    }


def of_gitea(address: str, place: Path, head: str = HEAD, base: str = BASE) -> dict[str, str]:
    """Return the variables of a job of Gitea's, with those of GitHub's that mislead."""
    wrong = {"GITHUB_API_URL": "https://api.github.com", "GITHUB_TOKEN": "another", "GITHUB_SERVER_URL": address}
    return of_github(address, place, head, base) | wrong | {"GITEA_ACTIONS": "true", "GITEA_TOKEN": TOKEN}


def of_gitlab(address: str, place: Path, head: str = HEAD, base: str = BASE) -> dict[str, str]:
    """Return the variables of a job of GitLab's."""
    del place
    return {
        "GITLAB_CI": "true",
        "CI_API_V4_URL": f"{address}/api/v4",
        "CI_COMMIT_SHA": MERGE,
        "CI_JOB_URL": "https://gitlab.example.com/jobs/12",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
        "CI_MERGE_REQUEST_IID": "7",
        "CI_MERGE_REQUEST_PROJECT_ID": "acme/platform/fleets",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": head,
        "CI_PROJECT_ID": "99",
        "GITLAB_TOKEN": TOKEN,
    }


FORGES: dict[str, tuple[type[GitHub | GitLab], Callable[..., dict[str, str]]]] = {
    "github": (GitHub, of_github),
    "gitlab": (GitLab, of_gitlab),
    "gitea": (Gitea, of_gitea),
}
"""What stands in for each forge, and its jobs."""
