"""A real Chromium without a window, all of whose requests go to a server of the test, and what it says on its console."""

import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = "http://page.example/"
"""A name that nothing resolves: only through the proxy, which is ours, does a page come from there."""
OWN = re.compile(r"[/ .](google|googleapis|gvt1)\.com[:/]")
"""Where the browser asks for the time and for updates on its own account, whatever it shows and however it is told not to."""
PATIENCE = 180
"""Seconds for one start of a browser on a machine that is busy."""


@dataclass(slots=True)
class Seen:
    """What came of showing a page: its DOM afterwards, the lines of the console, each request for it as `METHOD address`."""

    dom: str = ""
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def show(chromium: Path, html: str, *, width: int = 1280, screenshot: Path | None = None) -> Seen:
    """Show a page; raise `subprocess.TimeoutExpired` if the browser does not end."""
    seen = Seen()
    with _proxy(html, seen) as port, tempfile.TemporaryDirectory() as profile:
        what = [f"--screenshot={screenshot}"] if screenshot else ["--dump-dom"]
        done = subprocess.run(
            [
                chromium,
                *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"),
                *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"),
                *(f"--user-data-dir={profile}", f"--proxy-server=127.0.0.1:{port}", "--proxy-bypass-list=<-loopback>"),
                *("--enable-logging=stderr", "--log-level=0", f"--window-size={width},2000"),
                *what,
                PAGE,
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    seen.dom = done.stdout
    seen.requests = [one for one in seen.requests if not OWN.search(one)]
    seen.console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return seen


@contextmanager
def _proxy(html: str, seen: Seen) -> Iterator[int]:
    """Yield the port of a proxy that has one page, and writes down what else is asked of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.requests.append(f"GET {self.path}")
            body = html.encode() if self.path == PAGE else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_CONNECT(self) -> None:
            seen.requests.append(f"CONNECT {self.path}")
            self.send_error(502)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in the base class
            """Say nothing: what was asked is in `seen`."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
