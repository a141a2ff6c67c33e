"""A stand-in for Gitea and Forgejo: GitHub's, but for names, for comments in one page, and for a token that may ask who it is."""

from dataclasses import dataclass
from typing import Any

from tests.forges.github import WHEN, Account, GitHub
from tests.forges.standin import Reply, Request, paged


@dataclass
class Gitea(GitHub):
    """What the repository `acme/fleets` has."""

    prefix = "/api/v1"
    description = "gitea.json"

    def answer(self, request: Request, address: str) -> Reply:
        account = self.tokens.get(request.headers.get("authorization", "").removeprefix("token "))
        path = request.path.removeprefix(self.prefix)
        if account is None:
            return _error(401, "user does not exist [uid: 0, name: ]")
        if path == "/user":
            return Reply(body=_user(account.login))
        if self.renamed and path.startswith(f"/repos/{self.renamed}/"):
            moved = request.path.replace(self.renamed, self.repository)
            return Reply(status=307, body={"message": "moved"}, headers={"Location": address + moved})
        if not path.startswith(f"/repos/{self.repository}/"):
            return _error(404, "The target couldn't be found.")
        if request.method != "GET" and not account.writes:
            return _error(403, "token does not have at least one of required scope(s): [write:repository]")
        return self._inside(request, path.removeprefix(f"/repos/{self.repository}"), account, address)

    def _combined(self, sha: str, request: Request, account: Account, address: str) -> Reply:
        del account
        latest = {one["context"]: one for one in self.statuses.get(sha, [])}
        shown, headers = paged([_status(one) for one in latest.values()], request, address, size="limit", most=50)
        body = {"state": "pending", "sha": sha, "total_count": len(latest), "statuses": shown, "repository": {}}
        return Reply(body=body | {"commit_url": address, "url": address}, headers=headers)

    def _set(self, sha: str, request: Request, account: Account, address: str) -> Reply:
        made = {"context": request.body["context"], "state": request.body["state"], "description": request.body["description"]}
        made |= {"target_url": request.body.get("target_url", ""), "creator": _user(account.login), "url": address}
        self.statuses.setdefault(sha, []).append(made)
        return Reply(status=201, body=_status(made))

    def _pull(self, number: str, request: Request, account: Account, address: str) -> Reply:
        del request, account, address
        pull = self.pulls.get(int(number))
        if pull is None:
            return _error(404, "The target couldn't be found.")
        head = {"label": "topic", "ref": "topic", "sha": pull["head"], "repo_id": 1}
        return Reply(body={"number": int(number), "state": pull["state"], "head": head, "base": {"sha": "0" * 40}, "merged": False})

    def _listed(self, number: str, request: Request, account: Account, address: str) -> Reply:
        del number, request, account, address
        return Reply(body=list(self.comments))

    def say(self, login: str, body: str, address: str = "https://gitea.example.com") -> dict[str, Any]:
        """Add a comment by anybody."""
        number = max((one["id"] for one in self.comments), default=100) + 1
        made = {"id": number, "html_url": f"{address}/acme/fleets/pulls/7#issuecomment-{number}", "user": _user(login), "body": body}
        made |= {"created_at": WHEN, "updated_at": WHEN, "pull_request_url": address, "issue_url": ""}
        self.comments.append(made)
        return made


def _status(one: dict[str, Any]) -> dict[str, Any]:
    return {"status" if key == "state" else key: value for key, value in one.items()} | {"id": 1, "created_at": WHEN, "updated_at": WHEN}


def _user(login: str) -> dict[str, Any]:
    return {"id": len(login), "login": login, "full_name": "", "email": "", "avatar_url": "", "html_url": ""}


def _error(status: int, message: str) -> Reply:
    return Reply(status=status, body={"message": message, "url": "https://gitea.example.com/api/swagger"})
