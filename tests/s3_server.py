"""versitygw: an S3 server by other people, in another language, over a directory; built once by Go into ordain's cache.

`python -m tests.s3_server` builds it where it is not there yet, and prints where it is: `make test` does so before any test waits for it.
"""

import contextlib
import fcntl
import hashlib
import hmac
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from reconciler.opa import ports
from reconciler.publication.store import Store, open_store
from reconciler.publication.store.opening import Access

VERSION = "1.8.0"
MODULE = f"github.com/versity/versitygw/cmd/versitygw@v{VERSION}"
BUILD_SECONDS = 600
"""Two minutes of processor; the rest is for a machine that does much else."""
START_SECONDS = 60.0
POLICY_PAGE = Path(__file__).parents[1] / "docs" / "object-stores.md"
ACCESS, SECRET = "ordain-tests", "nothing-is-protected-by-this"


def find() -> Path | None:
    """Return the server, built where it is not there yet; None without Go, or where building fails."""
    cache = Path(os.environ.get("ORDAIN_CACHE") or Path.home() / ".cache" / "ordain")
    place = cache / "versitygw" / VERSION / "versitygw"
    go = shutil.which("go")
    if go is None and not place.is_file():
        return None
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not place.is_file() and not _built(str(go), place):
            return None
    return place


def _built(go: str, place: Path) -> bool:
    with tempfile.TemporaryDirectory(dir=place.parent) as directory:
        environment = {**os.environ, "GOBIN": directory, "CGO_ENABLED": "0"}
        command = [go, "install", "-trimpath", "-ldflags=-s -w", MODULE]
        with contextlib.suppress(subprocess.SubprocessError):
            subprocess.run(command, env=environment, capture_output=True, timeout=BUILD_SECONDS, check=True)
            Path(directory, "versitygw").replace(place)
    return place.is_file()


@dataclass(slots=True)
class S3Server:
    """A server over `directory` on a port of loopback that it keeps over restarts; its root may do everything."""

    program: Path
    directory: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        for name in ("data", "users"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [
            self.program,
            "--port",
            f"127.0.0.1:{self.port}",
            "--quiet",
            "--keep-alive",
            "--iam-dir",
            self.directory / "users",
        ]
        command += ["posix", self.directory / "data"]
        environment = {"PATH": os.defpath, "ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        limit = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > limit:
                self.stop(signal.SIGKILL)
                raise AssertionError((self.directory / "log").read_text())
            time.sleep(0.02)

    def _answers(self) -> bool:
        assert self.process is not None
        self.port = self.port or ports.listening(self.process.pid, 0) or 0
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it; what it was told to keep stays."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def bucket(self, name: str) -> str:
        """Make a bucket; return its URL."""
        (self.directory / "data" / name).mkdir(exist_ok=True)
        return f"s3://{name}"

    def user(self, access: str, secret: str) -> None:
        """Make a user who may do nothing yet."""
        command = [str(self.program), "admin", "--access", ACCESS, "--secret", SECRET, "--endpoint-url", self.endpoint, "create-user"]
        subprocess.run([*command, "--access", access, "--secret", secret, "--role", "user"], check=True, capture_output=True)

    def allow(self, bucket: str, policy: Mapping[str, object]) -> None:
        """Set a bucket's policy, as `aws s3api put-bucket-policy` does."""
        body = json.dumps(policy).encode()
        headers = _signed("PUT", f"127.0.0.1:{self.port}", f"/{bucket}", "policy=", body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("PUT", f"/{bucket}?policy=", body=body, headers=headers)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status < 300, said

    def environment(self, access: str = ACCESS, secret: str = SECRET) -> dict[str, str]:
        """Return the variables by which a process reaches it as a user."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1"}

    def credentials(self, access: str = ACCESS, secret: str = SECRET) -> Path:
        """Write a file of credentials, as [store] credentials names one."""
        path = self.directory / f"{access}.env"
        path.write_text(f"AWS_ACCESS_KEY_ID={access}\nAWS_SECRET_ACCESS_KEY={secret}\n")
        path.chmod(0o600)
        return path

    def open(self, url: str, access: str = ACCESS, secret: str = SECRET) -> Store:
        """Return a store below one of its buckets, as a user."""
        return open_store(url, Access(endpoint=self.endpoint, region="us-east-1", credentials=str(self.credentials(access, secret))))


def policy(bucket: str, prefix: str) -> dict[str, object]:
    """Return the policy that docs/object-stores.md gives, for users `reconcile` and `serve`."""
    text = POLICY_PAGE.read_text().split("<!-- policy -->", 1)[1].split("```json\n", 1)[1].split("```", 1)[0]
    found: dict[str, object] = json.loads(
        text.replace("BUCKET", bucket).replace("PREFIX", prefix).replace("arn:aws:iam::ACCOUNT:user/", "")
    )
    return found


def _signed(method: str, host: str, path: str, query: str, body: bytes) -> dict[str, str]:
    """Return the headers of a request of the root's, signed as AWS's Signature Version 4 has it."""
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": at}
    names = ";".join(headers)
    listed = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"{method}\n{path}\n{query}\n{listed}\n{names}\n{digest}"
    scope = f"{at[:8]}/us-east-1/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in (at[:8], "us-east-1", "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return headers | {"Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={signature}"}


@contextlib.contextmanager
def running(program: Path, directory: Path) -> Iterator[S3Server]:
    """Run a server over a directory while the block lasts."""
    server = S3Server(program, directory)
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGKILL)


def main() -> int:
    """Print where the server is, built first where it must be."""
    found = find()
    print(found or "tests: versitygw could not be built; tests of object stores will say so", file=sys.stdout if found else sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
