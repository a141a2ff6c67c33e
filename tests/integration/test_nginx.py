"""nginx as it is configured in deploy/: a cache that goes on when its server is gone, and a site's copy without any process of ordain's."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import urllib3

from reconciler.control.api.application import application
from reconciler.mirror.copying import Copied, copy_fleet
from reconciler.mirror.sources import HttpSource, StoreSource
from reconciler.publication import layout
from reconciler.publication.store import LocalStore
from tests.conftest import part
from tests.publication_cases import Zone, make_zone, now, serving
from tests.relay_cases import free_port

pytestmark = pytest.mark.needs("nginx")
DEPLOY = Path(__file__).parents[2] / "deploy" / "nginx"
PATIENCE = 60.0


@contextmanager
def nginx(directory: Path, name: str, **replaced: str) -> Iterator[str]:
    """Run nginx with a file of deploy/ alone, some texts of it replaced; yield its address."""
    port = free_port()
    text = (DEPLOY / name).read_text().replace("listen 8480;", f"listen 127.0.0.1:{port};")
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    places = "".join(f"{one}_temp_path {directory}/{one};\n" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    main = directory / "nginx.conf"
    main.write_text(
        f"daemon off;\nmaster_process off;\npid {directory}/pid;\nerror_log {directory}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}{text}\n}}\n"
    )
    process = subprocess.Popen([str(part("nginx")), "-c", str(main), "-e", f"{directory}/error.log"])
    try:
        _until_it_listens(f"http://127.0.0.1:{port}", process, directory / "error.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _until_it_listens(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    with urllib3.PoolManager() as pool:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                pool.request("GET", url, retries=False)
            except urllib3.exceptions.HTTPError:
                time.sleep(0.02)
            else:
                return
    raise AssertionError(log.read_text())


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    made = make_zone(tmp_path)
    made.approve("one")
    made.publish()
    return made


def copied(url: str, zone: Zone, into: Path) -> Copied:
    """Read all that hosts would, verified, through an address."""
    with urllib3.PoolManager() as pool:
        return copy_fleet(HttpSource(url, pool), LocalStore(into), tenant="shop", fleet="web", root=zone.trust.roots[0], now=now())


def answered(url: str, method: str = "GET") -> int:
    """Return the status of an answer, 0 where there is none."""
    with urllib3.PoolManager() as pool:
        try:
            return pool.request(method, url, retries=False).status
        except urllib3.exceptions.HTTPError:
            return 0


def test_a_cache_hands_out_what_is_signed_and_goes_on_when_its_server_is_gone(zone: Zone, tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()
    with ExitStack() as rest, ExitStack() as server:
        upstream = server.enter_context(serving(application(zone.store))).removeprefix("http://")
        replaced = {"127.0.0.1:8422": upstream, "/var/cache/nginx/ordain": f"{tmp_path}/nginx/cache"}
        cache = rest.enter_context(nginx(tmp_path / "nginx", "ordain-cache.conf", **replaced))
        assert copied(cache, zone, tmp_path / "first").after == 1
        zone.approve("two")
        zone.publish()
        deadline = time.monotonic() + PATIENCE
        while copied(cache, zone, tmp_path / "first").after == 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert answered(f"{cache}/v1/reports", "POST") == 404
        server.close()
        assert answered(f"http://{upstream}") == 0
        assert copied(cache, zone, tmp_path / "second").after == 2


def test_a_sites_copy_is_read_without_any_process_of_ours(zone: Zone, tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()
    site = LocalStore(tmp_path / "site" / "store")
    copy_fleet(StoreSource(zone.store), site, tenant="shop", fleet="web", root=zone.trust.roots[0], now=now())
    with nginx(tmp_path / "nginx", "ordain-static.conf", **{"/var/lib/ordain-site": f"{tmp_path}/site"}) as mirror:
        assert copied(mirror, zone, tmp_path / "host").after == 1
        assert answered(f"{mirror}/v1/agents/shop/web-01/fleets") == 200
        assert answered(f"{mirror}/v1/repositories/shop/web/metadata/2.root.json") == 404
        assert answered(f"{mirror}/v1/repositories/shop/web/metadata/../../../../approved/shop/controls.json") == 404
        assert answered(f"{mirror}/v1/watch", "POST") == 404
        assert answered(f"{mirror}/v1/repositories/shop/web/metadata/timestamp.json", "DELETE") == 403
    assert layout.artifact("shop", "a" * 64).startswith("approved/shop/_artifacts/")  # as the file has it
