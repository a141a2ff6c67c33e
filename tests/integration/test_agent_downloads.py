"""Artifacts over real HTTP: gone on with where a connection broke, no faster than allowed, and when it is a host's turn."""

import hashlib
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

from agent.fetching.cache import Cache, NotYetError, delay
from agent.fetching.fetcher import Http
from agent.protocol.errors import InputError, RetryError
from agent.protocol.state import ArtifactSource, State
from agent.settings import Downloads, read_downloads
from reconciler.control.api.application import application
from reconciler.publication import layout
from reconciler.publication.store import LocalStore
from tests import agent_cases
from tests.agent_cases import artifact_of
from tests.publication_cases import serving

CONTENT = hashlib.shake_256(b"a program").digest(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Origin:
    """A server that cuts a connection after some bytes, as often as told to, and remembers what it was asked for."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.cuts: list[int] = []
        self.etag = f'"{SHA256}"'
        self.ranges_known = True
        self.lying_offset = 0
        self.asked: list[tuple[str | None, str | None]] = []
        self.sent = 0
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                origin.answer(self)

            def log_message(self, *_: Any) -> None:
                """Keep the test's output clean."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/tool"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Send the content, or what is left of it."""
        asked, condition = request.headers.get("Range"), request.headers.get("If-Range")
        self.asked.append((asked, condition))
        partial = asked is not None and self.ranges_known and condition in (None, self.etag)
        start = int(str(asked).removeprefix("bytes=").rstrip("-")) if partial else 0
        if start >= len(self.content):
            request.send_response(416)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        body = self.content[start:]
        request.send_response(206 if partial else 200)
        request.send_header("Content-Length", str(len(body)))
        if partial:
            first = start + self.lying_offset
            request.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        request.end_headers()
        cut = self.cuts.pop(0) if self.cuts else len(body)
        self.sent += len(body[:cut])
        request.wfile.write(body[:cut])
        if cut < len(body):
            request.close_connection = True

    def close(self) -> None:
        """Stop serving."""
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()
    yield made
    made.close()


def cache_in(directory: Path, *, store: str = "", downloads: Downloads | None = None) -> Cache:
    return Cache(directory=directory, http=Http(), store=store, agent="shop/web-01", downloads=lambda: downloads or Downloads())


def fetched(cache: Cache, url: str, *, stopping: Callable[[], bool] = lambda: False) -> bytes:
    return cache.fetch(ArtifactSource(url=url, sha256=SHA256), stopping=stopping).read_bytes()


def test_a_download_that_broke_off_goes_on_from_there(origin: Origin, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    origin.cuts = [1_000_000, 700_000]
    for _ in range(2):
        with pytest.raises(RetryError):
            fetched(cache, origin.url)
    assert fetched(cache, origin.url) == CONTENT
    assert [asked for asked, _ in origin.asked] == [None, "bytes=1000000-", "bytes=1700000-"]
    assert origin.sent == len(CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == [SHA256]


def test_the_store_is_asked_to_go_on_only_with_the_same_content(origin: Origin, tmp_path: Path) -> None:
    cache = cache_in(tmp_path, store=origin.url.removesuffix("/tool"))
    origin.cuts = [1_000_000]
    with pytest.raises(RetryError):
        fetched(cache, "store:tool")
    assert fetched(cache, "store:tool") == CONTENT
    assert origin.asked[1] == ("bytes=1000000-", f'"{SHA256}"')


def test_a_server_without_ranges_sends_all_of_it_again(origin: Origin, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    origin.cuts, origin.ranges_known = [1_000_000], False
    with pytest.raises(RetryError):
        fetched(cache, origin.url)
    assert fetched(cache, origin.url) == CONTENT


def test_what_arrived_before_the_content_changed_is_thrown_away(origin: Origin, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    origin.content, origin.cuts = bytes(len(CONTENT)), [1_000_000]
    with pytest.raises(RetryError):
        fetched(cache, origin.url)
    origin.content = CONTENT
    assert fetched(cache, origin.url) == CONTENT
    assert [asked for asked, _ in origin.asked] == [None, "bytes=1000000-", None]


def test_content_that_is_wrong_as_a_whole_is_not_kept(origin: Origin, tmp_path: Path) -> None:
    origin.content = bytes(1000)
    for _ in range(2):
        with pytest.raises(RetryError, match="it is not used"):
            fetched(cache_in(tmp_path), origin.url)
    assert list(tmp_path.iterdir()) == []
    assert [asked for asked, _ in origin.asked] == [None, None]


def test_a_part_that_is_longer_than_the_content_is_fetched_anew(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT + b"x")
    assert fetched(cache_in(tmp_path), origin.url) == CONTENT


def test_a_part_that_is_whole_already_is_not_asked_for(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT)
    assert fetched(cache_in(tmp_path), origin.url) == CONTENT
    assert origin.asked == []


def test_a_server_that_goes_on_elsewhere_than_asked_is_not_believed(origin: Origin, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    origin.cuts, origin.lying_offset = [1_000_000], 5
    for _ in range(2):
        with pytest.raises(RetryError):
            fetched(cache, origin.url)
    assert (tmp_path / f"{SHA256}.part").read_bytes() == CONTENT[:1_000_000]


def test_more_than_the_release_allows_is_broken_off(origin: Origin, tmp_path: Path) -> None:
    source = ArtifactSource(url=origin.url, sha256=SHA256, size=1000)
    with pytest.raises(RetryError, match="more than the 1000 bytes"):
        cache_in(tmp_path).fetch(source, stopping=lambda: False)


def test_an_answer_that_is_no_success_is_tried_again_later(origin: Origin, tmp_path: Path) -> None:
    origin.content = b""
    with pytest.raises(RetryError, match="HTTP 416"):
        fetched(cache_in(tmp_path), origin.url)


def test_a_download_keeps_to_its_rate_and_stops_when_asked(origin: Origin, tmp_path: Path) -> None:
    started = time.monotonic()
    assert fetched(cache_in(tmp_path / "a", downloads=Downloads(rate=4_000_000)), origin.url) == CONTENT
    assert 0.6 < time.monotonic() - started < 5
    asked = iter([False] * 3 + [True] * 1000)
    with pytest.raises(RetryError, match="stopped while"):
        fetched(cache_in(tmp_path / "b", downloads=Downloads(rate=100_000)), origin.url, stopping=lambda: next(asked))
    assert 0 < (tmp_path / "b" / f"{SHA256}.part").stat().st_size < 100_000


def test_hosts_take_turns_over_the_stagger_and_each_keeps_its_own(origin: Origin, tmp_path: Path) -> None:
    turns = [delay(f"shop/web-{number}", SHA256, 300) for number in range(1000)]
    assert turns == [delay(f"shop/web-{number}", SHA256, 300) for number in range(1000)]
    assert 0 <= min(turns) < 10
    assert 290 < max(turns) < 300
    assert 130 < sum(turns) / 1000 < 170
    cache = cache_in(tmp_path, downloads=Downloads(stagger=1))
    with pytest.raises(NotYetError, match="spreads hosts over 1 s"):
        fetched(cache, origin.url)
    assert origin.asked == []
    time.sleep(delay("shop/web-01", SHA256, 1))
    assert fetched(cache, origin.url) == CONTENT


def test_small_artifacts_and_those_that_are_here_wait_for_nobody(origin: Origin, tmp_path: Path) -> None:
    origin.content = b"small"
    source = ArtifactSource(url=origin.url, sha256=hashlib.sha256(b"small").hexdigest(), size=5)
    cache = cache_in(tmp_path, downloads=Downloads(stagger=3600))
    assert cache.fetch(source, stopping=lambda: False).read_bytes() == b"small"
    (tmp_path / SHA256).write_bytes(CONTENT)
    assert fetched(cache, origin.url) == CONTENT


def test_a_release_waits_for_its_turn_and_says_so(tmp_path: Path) -> None:
    with agent_cases.rig(tmp_path) as rig:
        rig.config.parent.mkdir(parents=True)
        rig.config.write_text('[downloads]\nstagger = "1h"\n')
        store = f"/v1/artifacts/shop/{SHA256}"
        rig.server.files[store] = CONTENT
        artifact = artifact_of("/opt/tool", tmp_path / "unused", SHA256)
        platforms = {"any": ArtifactSource(url="store:tool", sha256=SHA256)}
        rig.fleet().publish(State(artifacts=[type(artifact)(name="tool", path="/opt/tool", platforms=platforms)]), ["web-01"])
        assert rig.poll() == 0, rig.log
        assert rig.status()["result"] == "waiting"
        assert "downloads.stagger" in rig.status()["why"]
        rig.config.unlink()
        assert rig.poll() == 0, rig.log
        assert rig.status()["result"] == "applied"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Downloads()),
        ('[downloads]\nrate = "10MB/s"\nstagger = "5m"', Downloads(rate=10_000_000, stagger=300)),
        ('[downloads]\nrate = "512KiB/s"', Downloads(rate=524_288)),
        ('[downloads]\nunpacked = "2GiB"', Downloads(unpacked=2 * 1024**3)),
        ('[downloads]\nunpacked = "2GiB/s"', None),
        ("[downloads]\nunpacked = 5", None),
        ('[downloads]\nrate = "10"', None),
        ("[downloads]\nrate = 10", None),
        ('[downloads]\nrate = "0MB/s"', None),
        ('[downloads]\nstagger = "10d"', None),
        ("[downloads]\nstagger = 5", None),
        ('[downloads]\nspeed = "5MB/s"', None),
        ("downloads = 5", None),
        ("[download]", None),
    ],
)
def test_how_gently_to_fetch_is_read_in_full_or_not_at_all(text: str, expected: Downloads | None, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    if expected is None:
        with pytest.raises(InputError):
            read_downloads(path)
    else:
        assert read_downloads(path) == expected


# What `serve` answers


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    store = LocalStore(tmp_path / "store")
    store.create_from(layout.artifact("shop", SHA256), [CONTENT[:1_000_000], CONTENT[1_000_000:]])
    library = hashlib.sha256(b"for all").hexdigest()
    store.create(layout.artifact("", library), b"for all")
    with serving(application(store)) as url:
        yield url


def _ask(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    answer = urllib3.request("GET", url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data


@pytest.mark.parametrize("path", ["/v1/artifacts/shop/" + SHA256, "/v1/artifacts/shop/" + "0" * 64, "/healthz", "/nothing"])
def test_no_answer_says_which_versions_serve(served: str, path: str) -> None:
    assert "server" not in _ask(served + path)[1]


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ({}, 200, CONTENT),
        ({"Range": "bytes=0-"}, 206, CONTENT),
        ({"Range": "bytes=1000-1999"}, 206, CONTENT[1000:2000]),
        ({"Range": "bytes=2999999-"}, 206, CONTENT[-1:]),
        ({"Range": "bytes=2999000-9999999"}, 206, CONTENT[2999000:]),
        ({"Range": "bytes=-5"}, 206, CONTENT[-5:]),
        ({"Range": "bytes=-9999999"}, 206, CONTENT),
        ({"Range": "bytes=3000000-"}, 416, b""),
        ({"Range": "bytes=-0"}, 416, b""),
        ({"Range": "bytes=5-4"}, 200, CONTENT),
        ({"Range": "bytes=0-1,5-6"}, 200, CONTENT),
        ({"Range": "lines=0-1"}, 200, CONTENT),
        ({"Range": "bytes=1-", "If_Range": f'"{SHA256}"'}, 206, CONTENT[1:]),
        ({"Range": "bytes=1-", "If_Range": '"another"'}, 200, CONTENT),
        ({"Range": "bytes=1-", "If_Range": f'W/"{SHA256}"'}, 200, CONTENT),
        ({"If_None_Match": f'"{SHA256}"'}, 304, b""),
    ],
)
def test_serve_answers_ranges_as_rfc_9110_has_them(served: str, asked: dict[str, str], status: int, expected: bytes) -> None:
    found, headers, body = _ask(f"{served}/v1/artifacts/shop/{SHA256}", **asked)
    assert (found, body) == (status, expected)
    if status == 206:
        start = CONTENT.rindex(expected)
        assert headers["content-range"] == f"bytes {start}-{start + len(expected) - 1}/{len(CONTENT)}"
    if status in (200, 206):
        assert headers["etag"] == f'"{SHA256}"'
        assert headers["accept-ranges"] == "bytes"


def test_an_agent_goes_on_with_what_serve_has(served: str, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{SHA256}.part").write_bytes(CONTENT[:1_234_567])
    cache = cache_in(tmp_path / "cache", store=f"{served}/v1/artifacts/shop")
    assert fetched(cache, "store:tool") == CONTENT


def test_the_librarys_artifacts_are_there_for_every_tenant_and_a_tenants_only_for_itself(served: str) -> None:
    library = hashlib.sha256(b"for all").hexdigest()
    for tenant in ("shop", "edge"):
        assert _ask(f"{served}/v1/artifacts/{tenant}/{library}")[2] == b"for all"
    assert _ask(f"{served}/v1/artifacts/edge/{SHA256}")[0] == 404


def test_a_large_artifact_costs_serve_a_piece_at_a_time(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    large = 300 * 1024 * 1024
    sha256 = "ab" * 32
    path = tmp_path / "store" / layout.artifact("shop", sha256)
    path.parent.mkdir(parents=True)
    with path.open("wb") as stream:
        stream.truncate(large)
    tracemalloc.start()
    try:
        with serving(application(store)) as url:
            answer = urllib3.request("GET", f"{url}/v1/artifacts/shop/{sha256}", preload_content=False)
            total = sum(len(piece) for piece in answer.stream(1024 * 1024))
            answer.release_conn()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == large
    assert peak < large / 10
