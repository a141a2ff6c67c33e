"""The authority's ceremony, what it lets whom sign, and a server whose certificate changes under it."""

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.protocol import codec
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.identity import AgentName
from reconciler.cli.keys import keys
from reconciler.control.authority import certificates
from reconciler.control.authority.ceremony import DOMAIN, development_authority
from reconciler.control.authority.certificates import Issuer
from reconciler.control.authority.generations import read_generations
from reconciler.control.authority.keeper import Keeper, Plan
from reconciler.control.authority.listening import Listening
from reconciler.control.authority.signing import SigningKey
from reconciler.control.refusal import Denied
from reconciler.publication import layout
from reconciler.publication.ceremony import development_keys
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import LocalStore

WEB = AgentName(domain=DOMAIN, tenant="shop", agent="web-01")
PATIENCE = 30.0


def typed(*words: object) -> Result:
    return CliRunner().invoke(keys, ["init", *map(str, words)])


def ceremony(directory: Path, *tenants: str, more: tuple[object, ...] = ()) -> Result:
    """Make the control zone's keys, then certify them where the root's key is."""
    named = [word for tenant in tenants for word in ("--tenant", tenant)]
    made = typed("--zone", "control", *named, "--keys", directory / "control", "--out", directory / "control.json")
    assert made.exit_code == 0, made.output
    places = ("--keys", directory / "authority", "--import", directory / "control.json", "--store", directory / "store")
    return typed("--zone", "authority", *named, *places, *more)


def keeper(directory: Path) -> Keeper:
    made = Keeper(LocalStore(directory / "store"), KeyRing(zone="control", directory=directory / "control"))
    made.look()
    return made


def key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP256R1()).public_key()


def test_a_ceremony_certifies_tenants_and_may_be_held_again_for_more(tmp_path: Path) -> None:
    assert ceremony(tmp_path, "shop").stdout.count("certified") == 3
    before = (tmp_path / "store" / layout.authority(1, "root.pem")).read_bytes()
    again = ceremony(tmp_path, "shop", "lab")
    assert again.stdout.count("certified") == 1
    assert (tmp_path / "store" / layout.authority(1, "root.pem")).read_bytes() == before
    (found,) = read_generations(LocalStore(tmp_path / "store"))
    assert sorted(found.tenants) == ["lab", "shop"]
    assert not list((tmp_path / "control").rglob("root*")), "the root's key is where the ceremony is"


def test_other_keys_and_domains_need_a_generation_of_their_own(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    other = ceremony(tmp_path, "shop", more=("--domain", "other.example.com"))
    assert (other.exit_code, "stands with trust domain" in str(other.exception)) == (1, True)
    (tmp_path / "authority" / "authority" / "root.pem").unlink()
    refused = ceremony(tmp_path, "shop")
    assert "--next-generation" in str(refused.exception)
    assert ceremony(tmp_path, "shop", more=("--next-generation",)).exit_code == 0
    first, second = read_generations(LocalStore(tmp_path / "store"))
    assert first.root != second.root


def carried(directory: Path, *tenants: str, more: tuple[object, ...] = ()) -> Result:
    """Hold the ceremony where there is no store, and take its file there."""
    named = [word for tenant in tenants for word in ("--tenant", tenant)]
    made = typed("--zone", "control", *named, "--keys", directory / "control", "--out", directory / "control.json")
    assert made.exit_code == 0, made.output
    out = directory / "certified.json"
    signed = typed(
        "--zone", "authority", *named, "--keys", directory / "offline", "--import", directory / "control.json", "--out", out, *more
    )
    assert (signed.exit_code, "next: ordain keys import" in signed.stdout) == (0, True), signed.exception
    return imported(directory, out)


def imported(directory: Path, file: Path) -> Result:
    return CliRunner().invoke(keys, ["import", str(file), "--store", str(directory / "store")])


def test_an_offline_root_certifies_into_a_file_that_is_carried_to_the_store(tmp_path: Path) -> None:
    assert carried(tmp_path, "shop").stdout.count("certified: ") == 3
    assert keeper(tmp_path).issue(key(), WEB).generation == 1
    assert carried(tmp_path, "shop", "lab").stdout == f"certified: {layout.tenant_authority(1, 'lab')}\n", "the root is signed once"
    assert "there already" in imported(tmp_path, tmp_path / "certified.json").stdout
    following = ("--zone", "control", "--tenant", "shop", "--keys", tmp_path / "control", "--next", "authority", "--next", "server")
    assert typed(*following).exit_code == 0
    assert carried(tmp_path, "shop", more=("--next-generation",)).stdout.count("certified: ") == 3
    assert [sorted(one.tenants) for one in read_generations(LocalStore(tmp_path / "store"))] == [["lab", "shop"], ["shop"]]
    assert not list((tmp_path / "store").rglob("*.json")), "certificates alone"


def test_what_was_certified_into_the_store_goes_on_by_file_and_the_other_way_round(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    (tmp_path / "authority").rename(tmp_path / "offline")
    assert carried(tmp_path, "shop", "lab").stdout.count("certified: ") == 1
    (tmp_path / "offline").rename(tmp_path / "authority")
    assert ceremony(tmp_path, "shop", "lab", "desk").stdout.count("certified: ") == 1


def test_a_file_with_another_root_or_anything_else_in_it_changes_nothing(tmp_path: Path) -> None:
    carried(tmp_path, "shop")
    before = sorted(LocalStore(tmp_path / "store").list(""))
    (tmp_path / "offline" / "certified.json").unlink()  # what it signed was forgotten
    out = tmp_path / "other.json"
    places = ("--keys", tmp_path / "offline", "--import", tmp_path / "control.json", "--out", out)
    assert typed("--zone", "authority", "--tenant", "shop", "--tenant", "lab", *places).exit_code == 1, "control.json has no lab"
    assert typed("--zone", "authority", "--tenant", "shop", *places).exit_code == 0
    assert "another one stands there" in str(imported(tmp_path, out).exception)
    odd = json.loads(out.read_bytes())
    odd["certificates"]["approved/accepted.json"] = "x"
    out.write_bytes(codec.canonical(odd))
    assert "not a whole authority" in str(imported(tmp_path, out).exception)
    assert sorted(LocalStore(tmp_path / "store").list("")) == before


def test_a_key_is_retired_once_no_generation_is_by_it_any_more(tmp_path: Path) -> None:
    development_keys(tmp_path, LocalStore(tmp_path / "store"), "shop")
    ceremony(tmp_path, "shop")
    made = typed("--zone", "control", "--tenant", "shop", "--keys", tmp_path / "control", "--next", "authority", "--next", "server")
    assert made.exit_code == 0, made.output
    assert ceremony(tmp_path, "shop", more=("--next-generation",)).exit_code == 0
    retire = ["retire", "--zone", "control", "--tenant", "shop", "--keys", str(tmp_path / "control"), "--store", str(tmp_path / "store")]
    assert CliRunner().invoke(keys, retire, catch_exceptions=False).stdout == "nothing to retire\n"
    assert keeper(tmp_path).issue(key(), WEB).generation == 2
    shutil.rmtree(tmp_path / "store" / layout.authority(1))
    retired = CliRunner().invoke(keys, retire, catch_exceptions=False).stdout
    assert [line.partition(":")[0] for line in retired.splitlines()] == ["authority/server", "shop/authority"]
    assert keeper(tmp_path).issue(key(), WEB).generation == 2


def test_what_a_root_did_not_sign_is_not_believed(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    ceremony(stranger, "shop")
    place = layout.tenant_authority(1, "shop")
    (tmp_path / "store" / place).write_bytes((stranger / "store" / place).read_bytes())
    with pytest.raises(RefusedError, match="did not sign it"):
        keeper(tmp_path)


def test_nothing_is_issued_before_a_ceremony_nor_for_a_tenant_that_had_none(tmp_path: Path) -> None:
    with pytest.raises(RetryError, match="no certificate authority"):
        keeper(tmp_path).issue(key(), WEB)
    ceremony(tmp_path, "lab")
    with pytest.raises(RefusedError, match="--zone authority --tenant shop"):
        keeper(tmp_path).issue(key(), WEB)


def test_what_one_tenants_key_signs_is_of_that_tenant_alone(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop", "lab")
    made = keeper(tmp_path)
    certified = made.issue(key(), WEB)
    made.require_issued(certified.certificate, WEB)
    for other in (AgentName(domain=DOMAIN, tenant="lab", agent="web-01"), AgentName(domain="other", tenant="shop", agent="web-01")):
        with pytest.raises(Denied):
            made.require_issued(certified.certificate, other)


def test_certificates_come_from_the_generation_that_the_plan_says(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    ceremony(tmp_path, "shop", more=("--next-generation",))
    made = keeper(tmp_path)
    assert made.issue(key(), WEB).generation == 2
    made.follow(Plan(for_all=1, server=1, candidate=2, chosen=lambda name: name.agent == "canary"))
    canary = AgentName(domain=DOMAIN, tenant="shop", agent="canary")
    assert (made.issue(key(), WEB).generation, made.issue(key(), canary).generation) == (1, 2)
    assert made.generation_of(made.issue(key(), canary).certificate, canary) == 2


@pytest.mark.needs("openssl")
def test_a_tenants_key_makes_no_server_and_the_servers_key_no_agent(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    ring = KeyRing(zone="control", directory=tmp_path / "control")
    (found,) = read_generations(LocalStore(tmp_path / "store"))
    now = datetime.now(UTC)
    tenant = Issuer(certificate=found.tenant("shop"), key=SigningKey(ring.signer("shop/authority")))
    server = Issuer(certificate=found.server, key=SigningKey(ring.signer("authority/server")))
    forged_server = certificates.issue_server(tenant, key(), names=["localhost"], now=now)
    forged_agent = certificates.issue_agent(server, key(), name=WEB.uri, now=now)
    for leaf, middle, purpose in ((forged_server, tenant, "sslserver"), (forged_agent, server, "sslclient")):
        for name, one in (("root", found.root), ("middle", middle.certificate), ("leaf", leaf)):
            (tmp_path / name).write_bytes(one.public_bytes(Encoding.PEM))
        places = ["-CAfile", str(tmp_path / "root"), "-untrusted", str(tmp_path / "middle"), str(tmp_path / "leaf")]
        done = subprocess.run(["openssl", "verify", "-purpose", purpose, *places], check=False, capture_output=True, text=True)
        assert "purpose" in done.stdout + done.stderr


@contextmanager
def accepting(context: ssl.SSLContext) -> Iterator[int]:
    """Shake hands with whoever comes; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, context.wrap_socket(connection, server_side=True) as session:
                    session.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def shown(port: int, roots: str) -> x509.Certificate:
    """Return what a server shows to a client that verifies it."""
    context = ssl.create_default_context(cadata=roots)
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain, server_hostname="localhost") as session:
        der = session.getpeercert(binary_form=True)
        session.send(b"x")
    assert der is not None
    return x509.load_der_x509_certificate(der)


def test_a_servers_certificate_is_renewed_without_a_restart_and_before_it_ends(tmp_path: Path) -> None:
    development_authority(tmp_path / "keys", LocalStore(tmp_path / "store"), ["shop"])
    made = Keeper(LocalStore(tmp_path / "store"), KeyRing(zone="control", directory=tmp_path / "keys" / "control"))
    listening = Listening(made, ["localhost"], lifetime=timedelta(seconds=6))
    context = listening.context()
    assert context is not None
    with accepting(context) as port:
        first = shown(port, made.authority())
        deadline = time.monotonic() + PATIENCE
        while (now := shown(port, made.authority())) == first:
            assert time.monotonic() < deadline, "it was never renewed"
            assert datetime.now(UTC) < first.not_valid_after_utc
            listening.refresh()
            time.sleep(0.1)
    assert now.public_key() != first.public_key()


def test_clients_of_a_generation_that_comes_later_are_believed_without_a_restart(tmp_path: Path) -> None:
    ceremony(tmp_path, "shop")
    made = keeper(tmp_path)
    listening = Listening(made, ["localhost"])
    context = listening.context()
    assert context is not None
    before = context.cert_store_stats()["x509_ca"]
    (tmp_path / "authority" / "authority" / "root.pem").unlink()
    assert ceremony(tmp_path, "shop", more=("--next-generation",)).exit_code == 0
    listening.refresh()
    assert context.cert_store_stats()["x509_ca"] == before + 1
    assert len(made.roots()) == 2
