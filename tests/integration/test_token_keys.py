"""Keys that never leave a token: releases and controls signed by PKCS#11, with SoftHSM in the place of hardware."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.protocol.errors import InputError, RetryError
from agent.protocol.identity import AgentName
from reconciler.control.api.application import application
from reconciler.control.authority.ceremony import DOMAIN
from reconciler.control.authority.keeper import Keeper
from reconciler.publication import releases
from reconciler.publication.ceremony import Rings
from reconciler.publication.keys import KeyRing
from reconciler.publication.secret_files import KeySecrets, SecretFile, named
from reconciler.publication.store import LocalStore
from tests.conftest import part
from tests.key_cases import Installation, refused, typed
from tests.polling_cases import Host
from tests.publication_cases import Zone, serving

pytestmark = [pytest.mark.needs("softhsm2"), pytest.mark.xdist_group("softhsm2")]
PIN = "8301"
URI = "hsm:7?label=ordain"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A token with an EC key that was made on it; its module reads its settings once in a process's life."""
    directory = tmp_path_factory.mktemp("token")
    (directory / "tokens").mkdir()
    (directory / "softhsm2.conf").write_text(f"directories.tokendir = {directory}/tokens\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(directory / "softhsm2.conf"))
        patch.setenv("PYKCS11LIB", str(part("softhsm2")))
        words = ["softhsm2-util", "--init-token", "--free", "--label", "ordain", "--pin", PIN, "--so-pin", "4711"]
        subprocess.run(words, check=True, capture_output=True)
        _make_key(number=7)
        (directory / "pin").write_text(f"{PIN}\n")
        yield directory


def _make_key(*, number: int) -> None:
    import pkcs11  # noqa: PLC0415 - only where the part is there
    import pkcs11.util.ec  # noqa: PLC0415

    module: Any = pkcs11.lib(str(part("softhsm2")))
    with module.get_token(token_label="ordain").open(rw=True, user_pin=PIN) as session:
        curve = {pkcs11.Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256r1")}
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        parameters.generate_keypair(store=True, id=bytes([number]), label="releases")


@pytest.fixture
def ring(token: Path, tmp_path: Path) -> KeyRing:
    """The pipeline's ring, whose releases key is on the token; its public half was asked for once."""
    words = ("--uri", f"shop/releases={URI}", "--pin-file", token / "pin", "--out", tmp_path / "pipeline.json")
    typed("init", "--zone", "pipeline", "--tenant", "shop", "--keys", tmp_path / "pipeline", *words)
    return KeyRing(
        zone="pipeline", directory=tmp_path / "pipeline", uris={"shop/releases": URI}, secrets=named(pin_file=str(token / "pin"))
    )


@pytest.fixture
def zone(ring: KeyRing, tmp_path: Path) -> Zone:
    made = Installation(directory=tmp_path)
    made.make("control")
    imports = ("--import", tmp_path / "pipeline.json", "--import", tmp_path / "control.json")
    typed("init", "--zone", "offline", *made.named, "--keys", tmp_path / "offline", *imports, "--store", made.store.root)
    return Zone(store=made.store, rings=Rings(pipeline=ring, control=made.ring("control")))


def test_releases_and_controls_signed_on_a_token_reach_a_host(zone: Zone, tmp_path: Path) -> None:
    assert not list(tmp_path.rglob("releases.pem"))
    zone.approve("from a token")
    zone.write_controls()
    Installation(directory=tmp_path).publish()
    found = releases.read_newest(zone.store, zone.trust, "web")
    assert found is not None
    assert zone.trust.keys("releases")[0].scheme == "ecdsa-sha2-nistp256"
    with serving(application(zone.store)) as url:
        host = Host(root=zone.trust.roots[0], directory=tmp_path / "host", url=url)
        assert host.takes() == "from a token"


def test_a_token_that_can_not_be_used_now_is_trouble_that_passes(zone: Zone, token: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("0000")
    for name, why in ((str(tmp_path / "wrong"), "Pin"), (str(tmp_path / "none"), "unlocks")):
        ring = KeyRing(
            zone="pipeline",
            directory=tmp_path / "pipeline",
            uris={"shop/releases": URI},
            secrets=KeySecrets(pin=SecretFile(name=name)),
        )
        locked = Zone(store=zone.store, rings=Rings(pipeline=ring, control=zone.rings.control))
        for step in (lambda locked=locked: locked.approve("never"), locked.write_controls):
            with pytest.raises((RetryError, InputError), match=f"(?i){why}|can't be signed") as failed:
                step()
            assert "0000" not in str(failed.value)
    assert token.is_dir()


def test_a_key_that_is_not_on_the_token_is_said_to_be_missing(token: Path, tmp_path: Path) -> None:
    words = ("--uri", "shop/releases=hsm:9?label=ordain", "--pin-file", token / "pin")
    failed = refused("init", "--zone", "pipeline", "--tenant", "shop", "--keys", tmp_path / "pipeline", *words)
    assert isinstance(failed.exception, InputError)
    assert "hsm:9" in str(failed.exception)


def test_an_authority_whose_keys_are_on_a_token_certifies_hosts(token: Path, tmp_path: Path) -> None:
    _make_key(number=5)
    _make_key(number=6)
    control = ("--uri", "shop/authority=hsm:5?label=ordain", "--pin-file", token / "pin", "--out", tmp_path / "control.json")
    typed("init", "--zone", "control", "--tenant", "shop", "--keys", tmp_path / "control", *control)
    root = ("--uri", "authority/root=hsm:6?label=ordain", "--pin-file", token / "pin", "--import", tmp_path / "control.json")
    typed("init", "--zone", "authority", "--tenant", "shop", "--keys", tmp_path / "offline", *root, "--out", tmp_path / "certified.json")
    typed("import", tmp_path / "certified.json", "--store", tmp_path / "store")
    secrets = named(pin_file=str(token / "pin"))
    ring = KeyRing(zone="control", directory=tmp_path / "control", uris={"shop/authority": "hsm:5?label=ordain"}, secrets=secrets)
    keeper = Keeper(LocalStore(tmp_path / "store"), ring)
    keeper.look()
    name = AgentName(domain=DOMAIN, tenant="shop", agent="web-01")
    keeper.require_issued(keeper.issue(ec.generate_private_key(ec.SECP256R1()).public_key(), name).certificate, name)
    kept = [place for directory in ("control", "offline") for place in (tmp_path / directory).rglob("*.pem")]
    assert not [place for place in kept if place.stem in ("authority", "root")], "neither key is in a file"


def test_a_key_on_a_token_is_rotated_to_one_in_a_file_and_back(zone: Zone, ring: KeyRing, token: Path, tmp_path: Path) -> None:
    zone.approve("first")
    zone.write_controls()
    _make_key(number=8)
    following = {**ring.uris, "shop/releases.next": "hsm:8?label=ordain"}
    words = [word for slot, uri in following.items() for word in ("--uri", f"{slot}={uri}")]
    out = ("--pin-file", token / "pin", "--out", tmp_path / "pipeline.json")
    typed("init", "--zone", "pipeline", "--tenant", "shop", "--keys", ring.directory, *words, *out)
    Installation(directory=tmp_path).rotate("releases", zones=["pipeline"])
    both = KeyRing(zone="pipeline", directory=ring.directory, uris=following, secrets=ring.secrets)
    listed = [key.keyid for key in zone.trust.keys("releases")]
    assert listed == [signer.public_key.keyid for signer in both.signers("shop/releases")]
