"""Which forge, repository, commit and pull request a CI job is about, by what its environment says.

The commit is the one that people see on the pull request: the head of its branch, never the merge that GitHub or GitLab made of it
to run the job on. What is not said is left empty, and every value may be named by option instead.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agent.protocol.errors import InputError

EVENT_LIMIT = 25 * 1024 * 1024
"""Bytes of an event: what GitHub sends at most."""
NOTHING = "0" * 40
"""How forges name the commit before the first."""
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a CI job is about; empty (None for the pull request) where the environment says nothing of it."""

    forge: str = ""
    api: str = ""
    repository: str = ""
    commit: str = ""
    base: str = ""
    """The commit that the change starts from."""
    pull_request: int | None = None
    link: str = ""
    """Where the job is looked at."""
    token: str = ""
    """The reference to the token; no environment says that."""


class _Side(msgspec.Struct):
    sha: str = ""


class _PullRequest(msgspec.Struct):
    number: int = 0
    head: _Side = msgspec.field(default_factory=_Side)
    base: _Side = msgspec.field(default_factory=_Side)


class _Run(msgspec.Struct):
    head_sha: str = ""
    pull_requests: list[_PullRequest] = []


class _MergeGroup(msgspec.Struct):
    """What a merge queue wants to know the statuses of."""

    head_sha: str = ""
    base_sha: str = ""


class _Event(msgspec.Struct):
    """What counts in an event of GitHub's and Gitea's Actions."""

    pull_request: _PullRequest | None = None
    workflow_run: _Run | None = None
    merge_group: _MergeGroup | None = None
    before: str = ""
    forced: bool = False


def surroundings(environment: Mapping[str, str]) -> Surroundings:
    """Return what the environment says of the job; nothing outside CI.

    Raises:
        InputError: it names an event file that is not what it should be.
    """
    if environment.get("GITEA_ACTIONS") or environment.get("FORGEJO_ACTIONS"):
        return _actions(environment, forge="gitea", api=environment.get("GITHUB_SERVER_URL", "").rstrip("/") + "/api/v1")
    if environment.get("GITHUB_ACTIONS"):
        return _actions(environment, forge="github", api=environment.get("GITHUB_API_URL", ""))
    if environment.get("GITLAB_CI"):
        return _gitlab(environment)
    return Surroundings()


def _actions(environment: Mapping[str, str], *, forge: str, api: str) -> Surroundings:
    event = _event(environment.get("GITHUB_EVENT_PATH", ""))
    found = event.pull_request
    commit, base = environment.get("GITHUB_SHA", ""), "" if event.forced else event.before
    if found is not None:
        commit, base = found.head.sha, found.base.sha
    elif event.workflow_run is not None:
        commit = event.workflow_run.head_sha
        found = next((one for one in event.workflow_run.pull_requests if one.head.sha == commit), None)
        base = found.base.sha if found else ""
    elif event.merge_group is not None:
        commit, base = event.merge_group.head_sha, event.merge_group.base_sha
    repository, run = environment.get("GITHUB_REPOSITORY", ""), environment.get("GITHUB_RUN_ID", "")
    server = environment.get("GITHUB_SERVER_URL", "")
    return Surroundings(
        forge=forge,
        api=api,
        repository=repository,
        commit=_sha(commit),
        base=_sha(base),
        pull_request=found.number or None if found else None,
        link=f"{server}/{repository}/actions/runs/{run}" if server and run else "",
    )


def _gitlab(environment: Mapping[str, str]) -> Surroundings:
    number = environment.get("CI_MERGE_REQUEST_IID", "")
    return Surroundings(
        forge="gitlab",
        api=environment.get("CI_API_V4_URL", ""),
        repository=environment.get("CI_MERGE_REQUEST_PROJECT_ID") or environment.get("CI_PROJECT_ID", ""),
        commit=_sha(environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or environment.get("CI_COMMIT_SHA", "")),
        base=_sha(environment.get("CI_MERGE_REQUEST_DIFF_BASE_SHA") or environment.get("CI_COMMIT_BEFORE_SHA", "")),
        pull_request=int(number) if number.isdecimal() else None,
        link=environment.get("CI_JOB_URL", ""),
    )


def _event(file: str) -> _Event:
    """Return what an event's file says; an empty name is none."""
    if not file:
        return _Event()
    try:
        with Path(file).open("rb") as stream:
            data: Any = stream.read(EVENT_LIMIT + 1)
        return msgspec.json.decode(data, type=_Event) if len(data) <= EVENT_LIMIT else _Event()
    except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        message = f"GITHUB_EVENT_PATH={file}: {error}; it should be the event of this job, or name --commit and --pull-request yourself"
        raise InputError(message) from error


def _sha(text: str) -> str:
    return text if _SHA.fullmatch(text) and text != NOTHING else ""
