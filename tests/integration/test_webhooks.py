"""Webhooks over HTTP, signed as each forge signs, and what a storm of them costs the pipeline."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
import urllib3

from agent.protocol.errors import InputError
from reconciler.control.api import hooks as route
from reconciler.control.api.application import application
from reconciler.control.api.hooks import Hooks
from reconciler.control.registry import hooks as made
from reconciler.pipeline.hints import FETCH_EVERY, LOOK_EVERY, Hints
from reconciler.publication.hints import FETCH_HINT, read_hint, write_hint
from reconciler.publication.secret_files import SecretFile
from reconciler.publication.store import CONTROL_PREFIXES, LocalStore, Scoped
from reconciler.settings import HookSettings, Settings
from reconciler.wiring import hooks as wired
from tests import registry_cases
from tests.publication_cases import serving

SECRET = b"correct horse battery staple"
PUSH = {"ref": "refs/heads/main", "before": "0" * 40, "after": "1" * 40, "commits": [{"id": "1" * 40}]}
Headers = dict[str, str]


class Served:
    """A serving control zone with a secret for each forge, and what it left for the pipeline."""

    def __init__(self, directory: Path, branch: str) -> None:
        file = directory / "secret"
        file.write_bytes(SECRET + b"\n")
        self.store = LocalStore(directory / "store")
        forges = ("github", "gitlab", "gitea", "generic")
        scoped = Scoped(inner=self.store, write=CONTROL_PREFIXES)
        self.hooks = Hooks(scoped, {forge: SecretFile(name=str(file)) for forge in forges}, branch=branch)
        self.url = ""

    def post(self, forge: str, body: bytes, headers: Headers) -> tuple[int, str]:
        answer = urllib3.request("POST", f"{self.url}/v1/hooks/{forge}", body=body, headers=headers, retries=False)
        return answer.status, answer.json()["result"] if answer.data.startswith(b"{") else ""

    def hint(self) -> str:
        """Return the ref of the hint that is left, after as long as the writing of one may take."""
        for _ in range(100):
            if found := read_hint(self.store):
                return found.ref
            time.sleep(0.02)
        return "no hint"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    zone = Served(tmp_path, branch="main")
    with serving(application(zone.store, hooks=zone.hooks)) as zone.url:
        yield zone


def hex_of(body: bytes) -> str:
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()


def standard(body: bytes, *, number: str = "", sent: float | None = None, key: bytes = SECRET) -> Headers:
    number = number or f"msg_{secrets.token_hex(8)}"
    moment = str(int(time.time() if sent is None else sent))
    digest = hmac.new(key, f"{number}.{moment}.".encode() + body, hashlib.sha256).digest()
    return {"webhook-id": number, "webhook-timestamp": moment, "webhook-signature": "v1,AAAA v1," + base64.b64encode(digest).decode()}


def signed(forge: str, body: bytes) -> Headers:
    by_forge = {
        "github": {"X-Hub-Signature-256": f"sha256={hex_of(body)}", "X-GitHub-Event": "push"},
        "gitea": {"X-Gitea-Signature": hex_of(body), "X-Gitea-Event": "push"},
        "gitlab": {"X-Gitlab-Token": SECRET.decode(), "X-Gitlab-Event": "Push Hook"},
        "generic": standard(body),
    }
    return by_forge[forge]


@pytest.mark.parametrize("forge", ["github", "gitlab", "gitea", "generic"])
def test_a_signed_push_leaves_a_hint_and_its_replay_is_refused(served: Served, forge: str) -> None:
    body = json.dumps(PUSH).encode()
    headers = signed(forge, body)
    assert served.post(forge, body, headers) == (202, "fetching soon")
    assert served.hint() == "refs/heads/main"
    assert served.post(forge, body, headers) == (409, "this webhook was received before")
    assert served.hooks.counts == Counter({(forge, "202"): 1, (forge, "409"): 1})


def test_gitlab_may_sign_instead_of_sending_its_secret(served: Served) -> None:
    body = json.dumps(PUSH).encode()
    assert served.post("gitlab", body, standard(body))[0] == 202
    assert served.post("gitlab", body, {**standard(body, key=b"another"), "X-Gitlab-Token": SECRET.decode()})[0] == 401


def test_forgejo_signs_under_a_name_of_its_own_that_counts_before_gitea_s(served: Served) -> None:
    body = json.dumps(PUSH).encode()
    assert served.post("gitea", body, {"X-Forgejo-Signature": "0" * 64, "X-Gitea-Signature": hex_of(body)})[0] == 401
    assert served.post("gitea", body, {"X-Forgejo-Signature": hex_of(body)})[0] == 202


BODY = json.dumps(PUSH).encode()
FORGED: dict[str, tuple[str, Callable[[], Headers]]] = {
    "github, unsigned": ("github", dict),
    "github, another's secret": ("github", lambda: {"X-Hub-Signature-256": "sha256=" + hmac.new(b"x", BODY, hashlib.sha256).hexdigest()}),
    "github, signature of another body": ("github", lambda: {"X-Hub-Signature-256": f"sha256={hex_of(BODY + b' ')}"}),
    "github, without its prefix": ("github", lambda: {"X-Hub-Signature-256": hex_of(BODY)}),
    "github, letters that are none": ("github", lambda: {"X-Hub-Signature-256": "sha256=" + "\u00e9" * 64}),
    "github, the old SHA-1": ("github", lambda: {"X-Hub-Signature": "sha1=" + hmac.new(SECRET, BODY, hashlib.sha1).hexdigest()}),
    "gitlab, another token": ("gitlab", lambda: {"X-Gitlab-Token": "guess"}),
    "gitlab, an empty token": ("gitlab", lambda: {"X-Gitlab-Token": ""}),
    "gitea, unsigned": ("gitea", dict),
    "generic, unsigned": ("generic", lambda: {"webhook-id": "1", "webhook-timestamp": "1"}),
    "generic, another's secret": ("generic", lambda: standard(BODY, key=b"x")),
    "generic, ten minutes old": ("generic", lambda: standard(BODY, sent=time.time() - 600)),
    "generic, from the future": ("generic", lambda: standard(BODY, sent=time.time() + 600)),
    "generic, at no time": ("generic", lambda: {**standard(BODY), "webhook-timestamp": "now"}),
    "generic, under another number": ("generic", lambda: {**standard(BODY), "webhook-id": "msg_other"}),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_webhook_is_refused_and_leaves_nothing(served: Served, case: str) -> None:
    forge, headers = FORGED[case]
    status, said = served.post(forge, BODY, headers())
    assert status == 401
    assert SECRET.decode() not in said
    assert served.store.get(FETCH_HINT) is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"zen": "a ping"}', 200),
        (b'{"ref": "refs/tags/v1"}', 200),
        (b'{"ref": "refs/heads/other"}', 200),
        (b'{"ref": "refs/heads/main\\u001b[31m"}', 200),
        (b'{"ref": 7}', 400),
        (b"payload=%7B%7D", 400),
        (b"[" * 100_000, 400),
        (b"", 400),
    ],
    ids=["ping", "tag", "another branch", "colours", "a number", "a form", "depth", "nothing"],
)
def test_what_is_signed_and_no_push_to_the_branch_leaves_nothing(served: Served, body: bytes, status: int) -> None:
    assert served.post("github", body, signed("github", body))[0] == status
    assert served.store.get(FETCH_HINT) is None


def test_a_webhook_of_a_forge_without_a_secret_is_not_there(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    with serving(application(store, hooks=Hooks(store, {}))) as url:
        answers = [urllib3.request("POST", f"{url}/v1/hooks/{forge}", body=BODY, retries=False).status for forge in ("github", "bitbucket")]
    assert answers == [404, 404]


def test_a_webhook_that_is_too_large_is_refused_before_it_is_read(served: Served) -> None:
    body = b" " * (route.BODY_LIMIT + 1)
    assert served.post("github", body, signed("github", body))[0] == 413

    chunks = (b" " * 65536 for _ in range(70))
    assert urllib3.request("POST", f"{served.url}/v1/hooks/github", body=chunks, retries=False).status == 413


def test_a_webhook_that_drips_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "BODY_SECONDS", 0.3)

    def dripping() -> Iterator[bytes]:
        for _ in range(20):
            yield b" "
            time.sleep(0.1)

    started = time.monotonic()
    try:
        answer = urllib3.request("POST", f"{served.url}/v1/hooks/github", body=dripping(), retries=False)
        assert answer.status == 408
    except urllib3.exceptions.HTTPError:
        pass  # closed while we still sent: given up as well
    assert time.monotonic() - started < 3


def test_a_secret_that_can_not_be_read_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.*the secret of the webhook of \[hooks\] github"):
        wired(Settings(state=tmp_path, hooks=HookSettings(github=str(tmp_path / "nowhere"))))


def test_a_thousand_webhooks_make_a_hint_or_two_and_one_fetch(served: Served) -> None:
    async def storm() -> Counter[int]:
        async with aiohttp.ClientSession() as session:

            async def one(number: int) -> int:
                body = json.dumps({**PUSH, "after": f"{number:040x}"}).encode()
                async with session.post(f"{served.url}/v1/hooks/github", data=body, headers=signed("github", body)) as answer:
                    return answer.status

            return Counter(await asyncio.gather(*(one(number) for number in range(1000))))

    hints, started = Hints(served.store), time.monotonic()
    assert asyncio.run(storm()) == {202: 1000}
    hint = read_hint(served.store)
    assert hint is not None
    assert hint.number <= 2 + (time.monotonic() - started) / route.HINT_EVERY
    fetches = [moment for moment in range(int(FETCH_EVERY)) if hints.due(float(moment))]
    assert fetches == [0]


def test_hints_make_one_fetch_at_once_and_one_after_the_pause(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_hint(store, "github", "refs/heads/main", "2026-11-23T00:00:00Z")
    hints = Hints(store)
    assert not hints.due(0.0)  # what stood there before the start is old
    fetches = []
    for tick in range(200):  # twenty seconds of hints, ten a second
        write_hint(store, "github", "refs/heads/main", "2026-11-23T00:00:01Z")
        if hints.due(tick / 10):
            fetches.append(tick / 10)
    assert fetches == [LOOK_EVERY, LOOK_EVERY + FETCH_EVERY]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"number":"7"}', b" " * 10_000])
def test_a_hint_that_is_junk_is_no_hint(tmp_path: Path, data: bytes) -> None:
    store = LocalStore(tmp_path)
    hints = Hints(store)
    store.create(FETCH_HINT, data)
    assert not hints.due(5.0)
    write_hint(store, "generic", "", "2026-11-23T00:00:00Z")
    assert hints.due(10.0)


def test_a_storm_of_what_is_refused_makes_a_line_a_minute_with_its_number(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(PUSH).encode()
    for _ in range(5):
        assert served.post("github", body, {})[0] == 401
    assert served.post("gitlab", body, {})[0] == 401
    lines = [one.getMessage() for one in caplog.records if "webhook of" in one.getMessage()]
    assert [line.split(":")[0] for line in lines] == ["webhook of github answered 401", "webhook of gitlab answered 401"]
    monkeypatch.setattr(route, "SAY_EVERY", 0.0)
    served.post("github", body, {})
    assert caplog.records[-1].getMessage().endswith("(5 such since the last line)")
    assert served.hooks.counts["github", "401"] == 6


def test_a_webhook_that_an_operator_made_counts_until_it_is_removed_and_over_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "FRESH", 0.0)
    store = LocalStore(tmp_path / "store")
    with registry_cases.empty(tmp_path) as registry, serving(application(store, hooks=Hooks(store, {}, registry=registry))) as url:

        def posted(secret: str) -> int:
            body = json.dumps({**PUSH, "after": secrets.token_hex(20)}).encode()
            sign = {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}
            return urllib3.request("POST", f"{url}/v1/hooks/github", body=body, headers=sign, retries=False).status

        assert posted("guessed") == 404, "nobody is heard yet"
        first = registry.write(made.create, "github", by="operator:ana", at="now")
        assert (posted(first.secret), posted("guessed")) == (202, 401)
        later = registry.write(made.rotate, first, at="now", former_until=time.time() + 60)
        assert (posted(later.secret), posted(first.secret)) == (202, 202)
        over = registry.write(made.rotate, later, at="now", former_until=time.time() - 1)
        assert (posted(over.secret), posted(later.secret), posted(first.secret)) == (202, 401, 401)
        assert registry.write(made.remove, over.id)
        assert posted(over.secret) == 404
