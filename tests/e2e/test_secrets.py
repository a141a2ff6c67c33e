"""Planted secrets, looked for in everything that any process wrote or said: git, notes, store, bundles, both sides' states, logs, plans."""

import io
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from tests.acceptance_cases import repository
from tests.e2e.installation import BIN, Installation

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(600)]
PLANTED = {name: f"planted-{name}-5be1c0" for name in ("age", "file", "env", "rotated", "bad")}
MOTD = "tenants/shop/components/motd.yaml"
SEALED = "tenants/shop/components/files/db.age"
COMPONENT = """\
apiVersion: ordain.dev/v1
kind: Component
metadata: {{name: motd, tenant: shop, labels: {{owner: ops}}}}
spec:
  description: A component of the tests.
  secrets:
    - {{name: db, source: files/db.age}}
    - {{name: license, file: /etc/ordain/secrets/license}}
  files:
    - {{path: /etc/app/db.conf, content: "password=${{secret.db}}\\nlicense=${{secret.license}}\\n"{check}}}
  processes:
    - {{name: app, command: [/bin/sleep, "1000"], environment: {{LICENSE: "${{secret.license}}"}}, restartOn: [/etc/app/db.conf],
        limits: {{memory: 64Mi}}}}
"""
ROOT = """\
apiVersion: ordain.dev/v1
kind: Repository
metadata: {name: acme}
spec: {format: 1, rules: {host-safety/root-processes: {level: audit}}}
"""
FAILING = ', check: [/bin/sh, -c, "cat $0; exit 1", "{staged}"]'


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.stop()
    for name in (tmp_path / "hosts").glob("*"):
        _end_processes(name)


def _end_processes(host: Path) -> None:
    """End what the agent of a host has running: by the pids in its own records."""
    for record in host.rglob("records/app.json"):
        subprocess.run(
            [sys.executable, "-c", "import json,os,sys; p=json.load(open(sys.argv[1])).get('pid'); p and os.kill(p, 9)", str(record)],
            check=False,
            capture_output=True,
        )


def sealed(installation: Installation, value: str) -> str:
    """Encrypt a value to the key of the host, which makes it now if it has none."""
    command = [str(BIN / "ordain-agent"), "secrets", "init", "--state", str(state_of(installation))]
    recipient = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    data = pyrage.encrypt(value.encode(), [pyrage.x25519.Recipient.from_str(recipient)], armored=True)
    return bytes(data).decode()


def state_of(installation: Installation) -> Path:
    command = installation.agent_command("web-01")
    return Path(command[command.index("--state") + 1])


def lay(installation: Installation, value: str) -> None:
    place = installation.root("web-01") / "etc/ordain/secrets/license"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(value)
    place.chmod(0o600)


def said(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([*command], capture_output=True, text=True, check=False, cwd=cwd, timeout=120)
    assert done.returncode != 2, f"{command} is no question: {done.stderr}"
    return done.stdout + done.stderr


def written(installation: Installation) -> Iterator[tuple[str, bytes]]:
    """Yield (where, bytes) of all that is on disk but the host's own root, unpacked where it is packed."""
    for path in installation.repo.parent.rglob("*"):
        if path.is_file() and not path.is_symlink() and installation.root("web-01") not in path.parents:
            data = path.read_bytes()
            yield str(path), data
            yield from _unpacked(path, data)
    everything = ["git", "cat-file", "--batch-all-objects", "--batch", "--buffer"]
    yield "git objects", subprocess.run(everything, cwd=installation.repo, capture_output=True, check=True).stdout


def printed(installation: Installation) -> Iterator[tuple[str, bytes]]:
    """Yield (which, bytes) of what commands say, on both sides and in all forms."""
    agent = ["--state", str(state_of(installation))]
    for command, forms in (("status", ("text", "json")), ("plan", ("json",)), ("doctor", ("json",))):
        for form in forms:
            yield f"{command} {form}", said(BIN / "ordain-agent", command, *agent, "--format", form, cwd=installation.repo).encode()
    for form in ("text", "json", "markdown", "html"):
        yield (
            f"plan {form}",
            said(BIN / "ordain", "plan", ".", "--base", "HEAD~1", "--format", form, "--all", cwd=installation.repo).encode(),
        )
    for words in (
        ["why", "shop/web-01:/etc/app/db.conf:1"],
        ["history", "shop/web"],
        ["state", "shop/web-01"],
        ["status"],
    ):
        yield " ".join(words), said(BIN / "ordain", *words, "--state", installation.state, cwd=installation.repo).encode()


def _unpacked(path: Path, data: bytes) -> Iterator[tuple[str, bytes]]:
    if path.name.endswith(".tar.gz"):
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive.getmembers():
                stream = archive.extractfile(member)
                yield f"{path}/{member.name}", stream.read() if stream else b""
    elif ".git" in path.parts or "objects" in path.parts:
        try:
            yield f"{path} (inflated)", zlib.decompress(data)
        except zlib.error:
            return


def leaks(found: Iterator[tuple[str, bytes]]) -> list[str]:
    return [where for where, data in found if any(value.encode() in data for value in PLANTED.values())]


def poll(installation: Installation, wanted: int = 0) -> None:
    done = installation.once("web-01")
    output = done.stdout + done.stderr
    assert done.returncode == wanted, output
    assert not [value for value in PLANTED.values() if value in output]


def command_lines() -> bytes:
    """Return the command lines of all processes, as ps shows them to everybody."""
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes()
        except OSError:
            continue
    return found


def test_a_planted_secret_is_in_the_file_and_the_process_that_it_is_for_and_nowhere_else(installation: Installation) -> None:
    lay(installation, PLANTED["file"])
    files = repository() | {"ordain.yaml": ROOT, MOTD: COMPONENT.format(check=""), SEALED: sealed(installation, PLANTED["age"])}
    head = installation.commit(files)
    installation.up()
    installation.examined(head)
    poll(installation)
    assert installation.content("web-01", "/etc/app/db.conf") == f"password={PLANTED['age']}\nlicense={PLANTED['file']}\n"
    lay(installation, PLANTED["rotated"])  # without a release
    poll(installation)
    assert installation.content("web-01", "/etc/app/db.conf") == f"password={PLANTED['age']}\nlicense={PLANTED['rotated']}\n"
    (installation.root("web-01") / "etc/app/db.conf").write_text("drift")
    poll(installation)
    lay(installation, PLANTED["bad"])
    head = installation.commit({MOTD: COMPONENT.format(check=FAILING)})  # whose check prints all of the file
    installation.examined(head)
    poll(installation, 1)
    assert "…secret" in str(installation.agent_status("web-01"))
    assert not [value for value in PLANTED.values() if value.encode() in command_lines()]
    assert leaks(written(installation)) == []
    assert leaks(printed(installation)) == []
    within = [path for path in installation.root("web-01").rglob("*") if path.is_file() and b"planted-" in path.read_bytes()]
    assert {path.name for path in within} == {"db.conf", "license"}
    installation.down()


def test_what_is_looked_for_is_found_where_it_is(installation: Installation) -> None:
    installation.commit({"planted.txt": PLANTED["age"]})
    assert any("git objects" in where for where in leaks(written(installation)))
    assert any(where.endswith("planted.txt") for where in leaks(written(installation)))
