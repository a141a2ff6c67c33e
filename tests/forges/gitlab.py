"""A stand-in for GitLab: one project, with the merge requests, notes and statuses that a report is about."""

import re
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

from tests.forges.github import WHEN, Account
from tests.forges.standin import Reply, Request, paged

SHOWN = {"success": "success", "failed": "failure", "canceled": "error"}


@dataclass
class GitLab:
    """What the project `acme/platform/fleets` has."""

    prefix = "/api/v4"
    description = "gitlab.json"
    project = "acme/platform/fleets"
    paths = {"status": r"^POST .*/statuses/", "comment": r"^POST .*/notes$", "comments": r"^GET .*/notes$", "edit": r"^PUT "}
    renamed: str = ""
    tokens: dict[str, Account] = field(default_factory=dict)
    pulls: dict[int, dict[str, str]] = field(default_factory=dict)
    statuses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: list[dict[str, Any]] = field(default_factory=list)

    def shown(self, commit: str) -> dict[str, tuple[str, str]]:
        """Return state and description of a commit's newest statuses, by the names that a report has for states."""
        return {one["name"]: (SHOWN.get(one["status"], one["status"]), one["description"]) for one in self.statuses.get(commit, [])}

    def texts(self) -> list[tuple[str, str]]:
        """Return author and text of all notes but GitLab's own."""
        return [(one["author"]["username"], one["body"]) for one in self.notes if not one["system"]]

    def answer(self, request: Request, address: str) -> Reply:
        account = self.tokens.get(request.headers.get("private-token", ""))
        path = request.path.removeprefix(self.prefix)
        if account is None:
            return _error(401, "401 Unauthorized")
        if path == "/user":
            return Reply(body=_user(account.login))
        project, _, rest = path.removeprefix("/projects/").partition("/")
        if self.renamed and project == urllib.parse.quote(self.renamed, safe=""):
            return Reply(status=301, body={"message": "Moved"}, headers={"Location": f"{address}{self.prefix}/projects/17/{rest}"})
        if project != urllib.parse.quote(self.project, safe=""):
            return _error(404, "404 Project Not Found")
        if request.method != "GET" and not account.writes:
            return _error(403, "403 Forbidden")
        return self._inside(request, rest, account, address)

    def _inside(self, request: Request, path: str, account: Account, address: str) -> Reply:
        for method, pattern, do in (
            ("GET", r"repository/commits/(\w+)/statuses", self._listed),
            ("POST", r"statuses/(\w+)", self._set),
            ("GET", r"merge_requests/(\d+)", self._merge_request),
            ("GET", r"merge_requests/(\d+)/notes", self._discussed),
            ("POST", r"merge_requests/(\d+)/notes", self._add),
            ("PUT", r"merge_requests/\d+/notes/(\d+)", self._edit),
            ("DELETE", r"merge_requests/\d+/notes/(\d+)", self._remove),
        ):
            found = re.fullmatch(pattern, path)
            if found and request.method == method:
                return do(found[1], request, account, address)
        return _error(404, "404 Not Found")

    def _listed(self, sha: str, request: Request, account: Account, address: str) -> Reply:
        del account
        latest = {one["name"]: one for one in self.statuses.get(sha, [])}
        shown, headers = paged(list(latest.values()), request, address)
        return Reply(body=shown, headers=headers)

    def _set(self, sha: str, request: Request, account: Account, address: str) -> Reply:
        del address
        there = next((one for one in reversed(self.statuses.get(sha, [])) if one["name"] == request.body["name"]), None)
        if there is not None and there["status"] == request.body["state"] in ("pending", "running"):
            return _error(400, f"Cannot transition status via :enqueue from :{there['status']}")
        made = {
            "id": 1,
            "sha": sha,
            "ref": "topic",
            "status": request.body["state"],
            "name": request.body["name"],
            "author": _user(account.login),
        }
        made |= {"target_url": request.body.get("target_url"), "description": request.body.get("description"), "allow_failure": False}
        made |= {"created_at": WHEN, "started_at": None, "finished_at": WHEN, "coverage": None}
        self.statuses.setdefault(sha, []).append(made)
        return Reply(status=201, body=made)

    def _merge_request(self, number: str, request: Request, account: Account, address: str) -> Reply:
        del request, account
        pull = self.pulls.get(int(number))
        if pull is None:
            return _error(404, "404 Not Found")
        state = {"open": "opened"}.get(pull["state"], pull["state"])
        return Reply(body={"id": 84, "iid": int(number), "project_id": 17, "state": state, "sha": pull["head"], "web_url": address})

    def _discussed(self, number: str, request: Request, account: Account, address: str) -> Reply:
        del number, account
        ordered = self.notes if request.query.get("sort") == "asc" else self.notes[::-1]
        shown, headers = paged(ordered, request, address)
        return Reply(body=shown, headers=headers)

    def _add(self, number: str, request: Request, account: Account, address: str) -> Reply:
        del number, address
        return Reply(status=201, body=self.say(account.login, request.body["body"]))

    def say(self, login: str, body: str, *, system: bool = False) -> dict[str, Any]:
        """Add a note by anybody, or GitLab's own about something that anybody did."""
        made = {"id": max((one["id"] for one in self.notes), default=300) + 1, "body": body, "author": _user(login), "system": system}
        made |= {"created_at": WHEN, "updated_at": WHEN, "noteable_id": 84, "noteable_type": "MergeRequest", "confidential": False}
        self.notes.append(made)
        return made

    def _edit(self, number: str, request: Request, account: Account, address: str) -> Reply:
        del address
        found = next((one for one in self.notes if one["id"] == int(number)), None)
        if found is None:
            return _error(404, "404 Not Found")
        if found["author"]["username"] != account.login:
            return _error(403, "403 Forbidden")
        found["body"] = request.body["body"]
        return Reply(body=found)

    def _remove(self, number: str, request: Request, account: Account, address: str) -> Reply:
        del request, account, address
        found = [one for one in self.notes if one["id"] == int(number)]
        self.notes = [one for one in self.notes if one not in found]
        return Reply(status=204) if found else _error(404, "404 Not Found")


def _user(login: str) -> dict[str, Any]:
    return {
        "id": len(login),
        "username": login,
        "name": login,
        "state": "active",
        "avatar_url": None,
        "web_url": "https://gitlab.example.com",
    }


def _error(status: int, message: str) -> Reply:
    return Reply(status=status, body={"message": message})
