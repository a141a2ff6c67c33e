"""Keys: each zone's stay where they are made, and a trust that stands is never replaced."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tuf.api.metadata import Root

from agent.protocol.errors import InputError, RefusedError
from reconciler import wiring
from reconciler.cli.keys import keys
from reconciler.publication import layout, metadata
from reconciler.publication.ceremony import MARKER
from reconciler.publication.key_making import make_keys
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import LocalStore
from reconciler.publication.trust import Trust, read_trust
from reconciler.settings import Settings
from tests.publication_cases import Zone, make_zone


def run(*arguments: object) -> Result:
    return CliRunner().invoke(keys, ["init", *map(str, arguments)], catch_exceptions=True)


def ceremony(directory: Path, *tenants: str) -> Result:
    """Hold the ceremony of the documentation: each zone on a machine of its own, and only two files travel."""
    named = [part for tenant in tenants for part in ("--tenant", tenant)]
    for zone in ("pipeline", "control"):
        made = run("--zone", zone, *named, "--keys", directory / zone, "--out", directory / f"{zone}.json")
        assert made.exit_code == 0, made.output
    imports = ("--import", directory / "pipeline.json", "--import", directory / "control.json")
    return run("--zone", "offline", *named, "--keys", directory / "offline", *imports, "--store", directory / "store", "--format", "json")


def trust(directory: Path, tenant: str = "shop") -> Trust:
    found = read_trust(LocalStore(directory / "store"), tenant)
    assert found is not None
    return found


def test_a_ceremony_makes_trust_for_each_tenant_from_two_public_files(tmp_path: Path) -> None:
    report = json.loads(ceremony(tmp_path, "shop", "lab").stdout)
    assert [one["tenant"] for one in report["trust"]] == ["shop", "lab"]
    assert report["created"] == ["root-1", "root-2", "root-3", "targets"]
    shop, lab = trust(tmp_path), trust(tmp_path, "lab")
    assert shop.root.roles[Root.type].keyids == lab.root.roles[Root.type].keyids
    assert shop.root.roles[Root.type].threshold == 2
    assert shop.keys("releases")[0].keyid != lab.keys("releases")[0].keyid
    assert not shop.development


def test_what_travels_holds_no_private_key(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    private = [path.read_text().splitlines()[1] for path in tmp_path.rglob("*.pem")]
    assert len(private) == 4 + 2 + 5
    for path in [tmp_path / "pipeline.json", tmp_path / "control.json", *(tmp_path / "store").rglob("*.json")]:
        text = path.read_text()
        assert "PRIVATE" not in text
        assert not any(line in text for line in private)


def test_an_output_that_is_another_file_already_is_left_as_it_is(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    assert run("--zone", "control", "--tenant", "lab", "--keys", tmp_path / "control", "--out", tmp_path / "control.json").exit_code == 0
    others = {
        tmp_path / "pipeline.json": (tmp_path / "pipeline.json").read_bytes(),
        tmp_path / "serve.json": b'{"url":"https://127.0.0.1:8420"}',
        tmp_path / "key.pem": b"-----BEGIN",
        tmp_path / "list": b"[1]",
    }
    for place, data in others.items():
        place.write_bytes(data)
        refused = run("--zone", "control", "--tenant", "lab", "--keys", tmp_path / "control", "--out", place)
        assert "something else is there" in str(refused.exception)
        assert place.read_bytes() == data


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("zones", [("offline", "authority"), ("authority", "offline"), ("pipeline", "control")])
def test_a_directory_of_another_zones_keys_is_refused_before_any_is_made(zones: tuple[str, str], tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    imports = ("--import", tmp_path / "pipeline.json", "--import", tmp_path / "control.json")
    store = ("--store", tmp_path / "other")
    more: dict[str, tuple[object, ...]] = {"authority": (*imports[2:], *store), "offline": (*imports, *store)}

    def typed(zone: str) -> Result:
        return run("--zone", zone, "--tenant", "shop", "--keys", tmp_path / "ko", *more.get(zone, ()))

    assert typed(zones[0]).exit_code == 0
    before = contents(tmp_path)
    refused = typed(zones[1]).exception
    assert isinstance(refused, InputError)
    assert "give --keys a directory of its own" in str(refused)
    assert contents(tmp_path) == before


def test_an_output_that_is_another_file_is_refused_before_any_key_is_made(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    (tmp_path / "notes").write_text("mine")
    before = contents(tmp_path)
    imports = ("--import", tmp_path / "pipeline.json", "--import", tmp_path / "control.json")
    for zone, *more in (("pipeline",), ("offline", *imports), ("authority", *imports[2:])):
        refused = run("--zone", zone, "--tenant", "lab", "--keys", tmp_path / "new", *more, "--out", tmp_path / "notes")
        assert "something else is there" in str(refused.exception)
        assert contents(tmp_path) == before


def test_the_authority_says_whose_public_keys_it_needs(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    ask = ("--zone", "authority", "--tenant", "shop", "--keys", tmp_path / "new", "--import", tmp_path / "pipeline.json")
    refused = run(*ask, "--store", tmp_path / "store").exception
    assert isinstance(refused, InputError)
    assert "of the control zone alone; --import has those of pipeline" in str(refused)


def test_private_keys_may_be_read_by_their_owner_alone(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    for path in tmp_path.rglob("*.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_ceremony_held_again_changes_nothing_and_a_further_tenant_is_added(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = json.loads(ceremony(tmp_path, "shop").stdout)
    assert (again["created"], again["trust"][0]["created"]) == ([], False)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    ceremony(tmp_path, "lab")
    assert (tmp_path / "store/trust/shop/1.root.json").read_bytes() == before[tmp_path / "store/trust/shop/1.root.json"]
    assert trust(tmp_path, "lab").tenant == "lab"


def test_a_trust_that_stands_is_not_replaced_by_one_with_other_keys(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    before = (tmp_path / "store/trust/shop/1.root.json").read_bytes()
    for path in (tmp_path / "control").rglob("*.pem"):
        path.unlink()
    again = ceremony(tmp_path, "shop")
    assert isinstance(again.exception, InputError)
    assert "ordain keys rotate" in str(again.exception)
    assert (tmp_path / "store/trust/shop/1.root.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--zone", "pipeline", "--keys", "k"], "--tenant"),
        (["--zone", "pipeline", "--keys", "k", "--tenant", "Shop"], "DNS label"),
        (["--zone", "control", "--keys", "k", "--tenant", "shop", "--store", "s"], "offline"),
        (["--zone", "offline", "--keys", "k", "--tenant", "shop"], "--store"),
        (["--zone", "offline", "--keys", "k", "--tenant", "shop", "--store", "s"], "--import twice"),
    ],
)
def test_wrong_usage_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], why: str) -> None:
    monkeypatch.chdir(tmp_path)
    failed = run(*arguments)
    assert isinstance(failed.exception, InputError)
    assert why in str(failed.exception)
    assert not list(tmp_path.iterdir())


def test_public_keys_of_a_tenant_that_never_were_made_are_asked_for(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    imports = ("--import", tmp_path / "pipeline.json", "--import", tmp_path / "control.json")
    failed = run("--zone", "offline", "--tenant", "lab", "--keys", tmp_path / "offline", *imports, "--store", tmp_path / "store")
    assert isinstance(failed.exception, InputError)
    assert "lab/" in str(failed.exception)


def test_one_tenants_trust_is_not_anothers_though_the_same_people_signed_it(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop", "lab")
    for name in ("1.root.json", "1.targets.json"):
        (tmp_path / "store/trust/lab" / name).write_bytes((tmp_path / "store/trust/shop" / name).read_bytes())
    with pytest.raises(RefusedError, match="it belongs to 'shop', not to 'lab'"):
        trust(tmp_path, "lab")


def test_a_trust_with_a_damaged_signature_is_refused(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    path = tmp_path / "store/trust/shop/1.targets.json"
    path.write_bytes(path.read_bytes().replace(b'"terminating":true', b'"terminating":false', 1))
    with pytest.raises(RefusedError, match="only the targets key"):
        trust(tmp_path)


def test_a_newer_root_must_be_signed_by_the_one_before(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    strangers = make_zone(tmp_path / "strangers")
    data = strangers.store.get(layout.trust("shop", "1.root.json")) or b""
    (tmp_path / "store/trust/shop/2.root.json").write_bytes(data)
    with pytest.raises(RefusedError, match=r"2\.root\.json"):
        trust(tmp_path)


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return make_zone(tmp_path)


def test_development_keys_say_so_in_signed_metadata_and_beside_the_keys(zone: Zone, tmp_path: Path) -> None:
    assert zone.trust.development
    assert zone.trust.root.unrecognized_fields[metadata.DEVELOPMENT] is True
    assert (tmp_path / "keys" / MARKER).is_file()


def test_development_keys_are_made_once(zone: Zone, tmp_path: Path) -> None:
    assert make_zone(tmp_path).trust == zone.trust


def test_development_keys_that_a_kill_left_without_trust_are_finished_at_the_next_start(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)
    wiring.development(settings)(["shop"])
    make_keys("pipeline", settings.keys_directory / "pipeline", ("lab",))
    wiring.development(settings)
    assert trust(tmp_path, "lab").development
    assert (tmp_path / "trust" / "lab.root.json").is_file()


def test_a_key_may_be_elsewhere_by_its_uri(tmp_path: Path) -> None:
    made = make_keys("pipeline", tmp_path / "keys", ("shop",))
    signer = made.ring.signer("shop/releases")
    (tmp_path / "keys/shop/releases.pem").rename(tmp_path / "elsewhere.pem")
    moved = KeyRing(zone="pipeline", directory=tmp_path / "keys", uris={"shop/releases": f"file2:{tmp_path}/elsewhere.pem"})
    assert moved.signer("shop/releases").public_key == signer.public_key
    with pytest.raises(InputError, match="no such key"):
        made.ring.signer("shop/releases")


def test_a_key_that_is_not_the_one_its_public_half_says_is_refused(tmp_path: Path) -> None:
    make_keys("pipeline", tmp_path / "keys", ("shop",))
    other = make_keys("pipeline", tmp_path / "other", ("shop",)).ring.path("shop/releases")
    ring = KeyRing(zone="pipeline", directory=tmp_path / "keys", uris={"shop/releases": f"file2:{other}"})
    with pytest.raises(InputError, match="can't be used"):
        ring.signer("shop/releases")
