"""OPA from a server of our own: the real program, and servers that cut it short, change it, have none or never end."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.protocol.errors import InputError, RetryError
from reconciler.opa import download as opa_download
from reconciler.opa.download import FILES, SUMS, Offer, download, offered
from reconciler.opa.program import PINNED, find_opa, version

SMALL = b"#!/bin/sh\necho Version: " + PINNED.encode() + b"\n" + b"#" * 100_000


@dataclass
class Server:
    """Serves one file; `statuses` are answered first, one a request, `cut` says how many bytes each of the first answers gets."""

    content: bytes
    ranges: bool = True
    statuses: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    endless: bool = False
    asked: list[str] = field(default_factory=list)
    url: str = ""


class _Handler(http.server.BaseHTTPRequestHandler):
    of: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.of.asked.append(asked)
        if self.of.statuses:
            self.send_error(self.of.statuses.pop(0))
            return
        begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.of.ranges else 0
        if begin >= len(self.of.content):
            self.send_error(416)
            return
        body = self.of.content[begin:]
        self.send_response(206 if begin else 200)
        if not self.of.endless:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.of.cut.pop(0)] if self.of.cut else body)
        while self.of.endless:
            self.wfile.write(bytes(65_536))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(content: bytes = SMALL, **how: object) -> Iterator[Server]:
    server = Server(content=content, **how)  # type: ignore[arg-type]
    handler = type("Handler", (_Handler,), {"of": server})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        setattr(listener, "handle_error", lambda *_: None)  # noqa: B010 - clients that leave are meant to
        server.url = f"http://127.0.0.1:{listener.server_address[1]}/opa"
        threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        listener.shutdown()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opa_download, "PAUSE", 0.01)


def summed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def got(server: Server, tmp_path: Path, *, content: bytes = SMALL) -> Path:
    target = tmp_path / "opa"
    download(Offer(url=server.url, sha256=summed(content)), target)
    return target


def nothing_left(tmp_path: Path) -> bool:
    return not list(tmp_path.iterdir())


def bare(tmp_path: Path, **more: str) -> dict[str, str]:
    """Return an environment without OPA and Go, and with a cache of its own."""
    return {"PATH": str(tmp_path / "empty"), "ORDAIN_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)} | more


def test_the_real_opa_is_downloaded_verified_and_judges_from_the_cache(
    opa: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(opa.read_bytes()) as server:
        environment = bare(tmp_path, ORDAIN_OPA_URL=server.url, ORDAIN_OPA_SHA256=summed(server.content))
        found = find_opa(environment=environment)
        assert find_opa(environment=environment) == found
        assert version(found) == version(opa)
        assert server.asked == [""]
    assert found.is_relative_to(tmp_path / "cache")
    assert found.stat().st_mode & 0o777 == 0o755
    assert f"downloading OPA {PINNED} from {server.url}, once" in capfd.readouterr().err


def test_settings_name_address_and_sum_too(tmp_path: Path) -> None:
    with serving() as server:
        found = find_opa(url=server.url, sha256=summed(SMALL), environment=bare(tmp_path))
    assert found.read_bytes() == SMALL


def test_another_sum_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with serving(SMALL + b"evil") as server, pytest.raises(RetryError, match=f"and not {summed(SMALL)} as pinned"):
        got(server, tmp_path)
    assert nothing_left(tmp_path)


def test_what_broke_off_is_gone_on_with(tmp_path: Path) -> None:
    with serving(cut=[30_000, 20_000]) as server:
        assert got(server, tmp_path).read_bytes() == SMALL
        assert server.asked == ["", "bytes=30000-", "bytes=50000-"]


def test_a_server_that_knows_no_ranges_begins_anew(tmp_path: Path) -> None:
    with serving(cut=[30_000], ranges=False) as server:
        assert got(server, tmp_path).read_bytes() == SMALL


def test_one_that_always_breaks_off_is_given_up_and_gone_on_with_next_time(tmp_path: Path) -> None:
    with serving(cut=[10_000] * opa_download.TRIES) as server:
        with pytest.raises(RetryError, match="it broke off; what has arrived is kept"):
            got(server, tmp_path)
        assert not (tmp_path / "opa").exists()
        assert got(server, tmp_path).read_bytes() == SMALL
        assert server.asked[-1] == f"bytes={10_000 * opa_download.TRIES}-"


@pytest.mark.parametrize("left", [b"x" * 50, b"x" * len(SMALL), b"x" * (len(SMALL) + 1)])
def test_wrong_bytes_from_an_earlier_try_are_thrown_away(tmp_path: Path, left: bytes) -> None:
    (tmp_path / f".{summed(SMALL)}.part").write_bytes(left)
    with serving() as server:
        assert got(server, tmp_path).read_bytes() == SMALL


def test_what_never_ends_is_cut_off_at_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opa_download, "BYTES_LIMIT", 1_000_000)
    with serving(endless=True) as server, pytest.raises(RetryError, match="more than 1000000 bytes, which no OPA has"):
        got(server, tmp_path)
    assert nothing_left(tmp_path)


def test_a_drip_ends_with_the_time_that_a_download_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opa_download, "SECONDS", 0.2)
    monkeypatch.setattr(opa_download, "BYTES_LIMIT", 1 << 40)
    with serving(b"x", endless=True) as server, pytest.raises(RetryError, match=r"not done after 0\.2 s"):
        got(server, tmp_path)


def test_a_file_that_is_not_there_is_not_asked_for_again(tmp_path: Path) -> None:
    with serving(statuses=[404] * 9) as server:
        with pytest.raises(RetryError, match="HTTP status 404; name an address that has it"):
            got(server, tmp_path)
        assert len(server.asked) == 1


def test_a_server_in_trouble_is_asked_again(tmp_path: Path) -> None:
    with serving(statuses=[503, 500]) as server:
        assert got(server, tmp_path).read_bytes() == SMALL


def test_nobody_there_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(RetryError, match="opa: it can't be reached"):
        download(Offer(url="http://127.0.0.1:1/opa", sha256=summed(SMALL)), tmp_path / "opa")


def test_without_a_sum_nothing_is_asked_for_and_the_error_says_so(tmp_path: Path) -> None:
    with serving() as server:
        with pytest.raises(RetryError, match=r"no SHA-256 of OPA .* is known here .*no Go to build it"):
            find_opa(environment=bare(tmp_path, ORDAIN_OPA_URL=server.url))
        assert server.asked == []


def test_a_failed_download_goes_on_to_go(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(f'#!/bin/sh\nprintf "#!/bin/sh\\necho Version: {PINNED}\\n" > "$GOBIN/opa"; /bin/chmod +x "$GOBIN/opa"\n')
    go.chmod(0o755)
    with serving(SMALL + b"evil") as server:
        environment = bare(tmp_path, ORDAIN_OPA_URL=server.url, ORDAIN_OPA_SHA256=summed(SMALL)) | {"PATH": str(go.parent)}
        assert version(find_opa(environment=environment)) == PINNED
    assert "as pinned; it is thrown away); building OPA" in capfd.readouterr().err


def test_a_program_with_the_sum_that_was_set_but_of_another_version_does_not_judge(tmp_path: Path) -> None:
    old = b"#!/bin/sh\necho Version: 0.70.0\n"
    with serving(old) as server, pytest.raises(RetryError, match=r"has the sum that was set, but is OPA 0\.70\.0"):
        find_opa(url=server.url, sha256=summed(old), environment=bare(tmp_path))
    assert not list((tmp_path / "cache" / "opa" / PINNED).glob("opa"))


@pytest.mark.parametrize(("url", "sha256"), [("file:///bin/sh", ""), ("opa", ""), ("", "abc"), ("", "F" * 64)])
def test_what_is_no_address_or_no_sum_is_an_error(url: str, sha256: str) -> None:
    with pytest.raises(InputError, match="is no"):
        offered(PINNED, url=url, sha256=sha256)


@pytest.mark.parametrize("where", FILES)
def test_each_platform_has_an_address_and_a_sum_where_one_is_pinned(where: str) -> None:
    offer = offered(PINNED, where=where)
    assert offer.url == f"{opa_download.RELEASES}/v{PINNED}/{FILES[where]}"
    assert offer.sha256 == SUMS.get(where, "")
    assert offered(PINNED, where=where, sha256=summed(b"")).sha256 == summed(b"")


def test_a_platform_without_a_release_file_is_not_offered() -> None:
    assert offered(PINNED, where="plan9/mips") == Offer(url="", sha256="")
