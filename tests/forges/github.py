"""A stand-in for GitHub: one repository, with the pull requests, comments and statuses that a report is about."""

import re
from dataclasses import dataclass, field
from typing import Any

from tests.forges.standin import Reply, Request, paged

WHEN = "2026-11-23T12:00:00Z"
BOT = "github-actions[bot]"


@dataclass
class Account:
    """Whose token it is: `app` for a job's own, which may not ask who it is."""

    login: str
    app: bool = False
    writes: bool = True


@dataclass
class GitHub:
    """What the repository `acme/fleets` has."""

    prefix = ""
    description = "github.json"
    repository: str = "acme/fleets"
    renamed: str = ""
    tokens: dict[str, Account] = field(default_factory=dict)
    pulls: dict[int, dict[str, str]] = field(default_factory=dict)
    statuses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    comments: list[dict[str, Any]] = field(default_factory=list)
    locked: bool = False
    project = "acme/fleets"
    """How an option names it."""
    paths = {"status": r"^POST .*/statuses/", "comment": r"^POST .*/comments$", "comments": r"^GET .*/comments$", "edit": r"^PATCH "}
    """What requests look like, for faults."""

    def shown(self, commit: str) -> dict[str, tuple[str, str]]:
        """Return state and description of a commit's newest statuses."""
        return {one["context"]: (one["state"], one["description"]) for one in self.statuses.get(commit, [])}

    def texts(self) -> list[tuple[str, str]]:
        """Return author and text of all comments."""
        return [(one["user"]["login"], one["body"]) for one in self.comments]

    def answer(self, request: Request, address: str) -> Reply:
        account = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if account is None:
            return _error(401, "Bad credentials")
        if request.path == "/user":
            return _error(403, "Resource not accessible by integration") if account.app else Reply(body=_public(account.login))
        if self.renamed and request.path.startswith(f"/repos/{self.renamed}/"):
            return Reply(
                status=301,
                body={"message": "Moved Permanently", "url": f"{address}/repositories/1/x"},
                headers={"Location": f"{address}/repositories/1/x"},
            )
        if not request.path.startswith(f"/repos/{self.repository}/"):
            return _error(404, "Not Found")
        if request.method != "GET" and not account.writes:
            headers = {"X-Accepted-GitHub-Permissions": "statuses=write"}
            return Reply(status=403, body={"message": "Resource not accessible by integration"}, headers=headers)
        return self._inside(request, request.path.removeprefix(f"/repos/{self.repository}"), account, address)

    def _inside(self, request: Request, path: str, account: Account, address: str) -> Reply:
        for method, pattern, do in (
            ("GET", r"/commits/(\w+)/status", self._combined),
            ("POST", r"/statuses/(\w+)", self._set),
            ("GET", r"/pulls/(\d+)", self._pull),
            ("GET", r"/issues/(\d+)/comments", self._listed),
            ("POST", r"/issues/(\d+)/comments", self._add),
            ("PATCH", r"/issues/comments/(\d+)", self._edit),
            ("DELETE", r"/issues/comments/(\d+)", self._remove),
        ):
            found = re.fullmatch(pattern, path)
            if found and request.method == method:
                return do(found[1], request, account, address)
        return _error(404, "Not Found")

    def _combined(self, sha: str, request: Request, account: Account, address: str) -> Reply:
        del account
        latest = {one["context"].lower(): one for one in self.statuses.get(sha, [])}
        shown, headers = paged(list(latest.values()), request, address)
        statuses = [{key: value for key, value in one.items() if key != "creator"} for one in shown]
        body = {"state": "pending", "sha": sha, "total_count": len(latest), "statuses": statuses, "repository": {}}
        return Reply(body=body | {"commit_url": address, "url": address}, headers=headers)

    def _set(self, sha: str, request: Request, account: Account, address: str) -> Reply:
        if len(request.body.get("description") or "") > 140:
            return _invalid("description is too long (maximum is 140 characters)")
        made = {"url": address, "avatar_url": None, "id": len(self.statuses), "node_id": "x", "state": request.body["state"]}
        made |= {
            "description": request.body.get("description"),
            "target_url": request.body.get("target_url"),
            "context": request.body["context"],
        }
        made |= {"created_at": WHEN, "updated_at": WHEN, "creator": user(account.login)}
        self.statuses.setdefault(sha, []).append(made)
        return Reply(status=201, body=made)

    def _pull(self, number: str, request: Request, account: Account, address: str) -> Reply:
        del request, account, address
        pull = self.pulls.get(int(number))
        if pull is None:
            return _error(404, "Not Found")
        sides = {side: {"label": f"acme:{side}", "ref": side, "sha": pull.get(side, "0" * 40)} for side in ("head", "base")}
        return Reply(body={"number": int(number), "state": pull["state"], "locked": self.locked, "merged": False, **sides})

    def _listed(self, number: str, request: Request, account: Account, address: str) -> Reply:
        del number, account
        shown, headers = paged(self.comments, request, address)
        return Reply(body=list(shown), headers=headers)

    def _add(self, number: str, request: Request, account: Account, address: str) -> Reply:
        del number
        if self.locked:
            return _error(403, "Unable to create comment because issue is locked.")
        if len(request.body["body"]) > 65_536:
            return _invalid("body is too long (maximum is 65536 characters)")
        made = self.say(account.login, request.body["body"], address)
        return Reply(status=201, body=made)

    def say(self, login: str, body: str, address: str = "https://github.example.com") -> dict[str, Any]:
        """Add a comment by anybody."""
        number = max((one["id"] for one in self.comments), default=100) + 1
        made = {"id": number, "node_id": "x", "url": address, "html_url": f"https://github.example.com/acme/fleets/pull/7#{number}"}
        made |= {"issue_url": address, "user": user(login), "body": body, "created_at": WHEN, "updated_at": WHEN}
        self.comments.append(made)
        return made

    def _edit(self, number: str, request: Request, account: Account, address: str) -> Reply:
        del address
        found = next((one for one in self.comments if one["id"] == int(number)), None)
        if found is None:
            return _error(404, "Not Found")
        if found["user"]["login"] != account.login:
            return _error(403, "Must have admin rights to Repository.")
        found["body"] = request.body["body"]
        return Reply(body=found)

    def _remove(self, number: str, request: Request, account: Account, address: str) -> Reply:
        del request, account, address
        found = [one for one in self.comments if one["id"] == int(number)]
        self.comments = [one for one in self.comments if one not in found]
        return Reply(status=204) if found else _error(404, "Not Found")


def user(login: str) -> dict[str, Any]:
    """Return a user as GitHub shows one in what they made."""
    urls = ("avatar", "html", "followers", "following", "gists", "starred", "subscriptions", "organizations", "repos", "events")
    made: dict[str, Any] = {f"{name}_url": "https://github.example.com/x" for name in (*urls, "received_events")}
    return (
        made
        | {"login": login, "id": len(login), "node_id": "x", "gravatar_id": "", "url": "https://github.example.com/x"}
        | {
            "type": "Bot" if login.endswith("[bot]") else "User",
            "site_admin": False,
        }
    )


def _public(login: str) -> dict[str, Any]:
    texts = ("name", "company", "blog", "location", "email", "bio")
    numbers = ("public_repos", "public_gists", "followers", "following")
    made = user(login) | {"hireable": None, "created_at": WHEN, "updated_at": WHEN}
    return made | dict.fromkeys(texts, "x") | dict.fromkeys(numbers, 0)


def _error(status: int, message: str) -> Reply:
    return Reply(status=status, body={"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)})


def _invalid(message: str) -> Reply:
    body = {
        "message": "Validation Failed",
        "documentation_url": "https://docs.github.com/rest",
        "errors": [{"code": "custom", "message": message}],
    }
    return Reply(status=422, body=body)
