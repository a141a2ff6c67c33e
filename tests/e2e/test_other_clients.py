"""What `ordain up` publishes is plain TUF: a client by other people, in another language, reads it with the root metadata alone."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol import bundle
from tests import go_tuf
from tests.acceptance_cases import component, repository
from tests.e2e.installation import PATIENCE, Installation

pytestmark = [pytest.mark.needs("opa", "git", "go-tuf"), pytest.mark.timeout(600)]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.stop()


class GoClient:
    """go-tuf's client with a directory of its own."""

    def __init__(self, directory: Path, installation: Installation) -> None:
        self.directory = directory
        self.base = f"{installation.url}/v1/repositories/shop/web"
        directory.mkdir()
        shutil.copy(installation.state / "trust/shop.root.json", directory / "root.json")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command."""
        command = [str(go_tuf.find()), *arguments, "--url", f"{self.base}/metadata"]
        return subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False, timeout=PATIENCE)

    def get(self, target: str) -> subprocess.CompletedProcess[str]:
        """Download a target."""
        return self.run("get", target, "--turl", f"{self.base}/targets")


def test_go_tufs_client_downloads_a_bundle_and_follows_a_change(installation: Installation, tmp_path: Path) -> None:
    head = installation.commit(repository())
    installation.up()
    installation.examined(head)
    client = GoClient(tmp_path / "go", installation)
    assert client.run("init", "--file", "root.json").returncode == 0
    _downloads(client, installation)
    head = installation.commit({"tenants/shop/components/motd.yaml": component("motd", "/etc/motd", "changed")})
    installation.examined(head)
    _downloads(client, installation)
    absent = client.get("bundles/web-" + "0" * 64 + ".tar.gz")
    assert absent.returncode == 1
    assert "not found" in absent.stdout + absent.stderr
    installation.down()


def _downloads(client: GoClient, installation: Installation) -> None:
    digest = installation.fleet("shop/web")["digest"]
    done = client.get(bundle.target("web", digest))
    assert done.returncode == 0, done.stdout + done.stderr
    [place] = [path for path in (client.directory / "tuf_download").iterdir() if digest in path.name]
    assert bundle.unpack(place.read_bytes(), digest=digest).fleet == "shop/web"
