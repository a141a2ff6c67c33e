"""Reports of a site without a network, home on a stick: verified end to end, kept once, and written into the audit."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agent.protocol import codec, report
from agent.protocol.identity import AgentName
from agent.protocol.report import SignedBatch, SignedReceipt
from reconciler.cli import cli
from reconciler.control.authority.ceremony import DOMAIN
from reconciler.control.authority.certificates import fingerprint
from reconciler.control.identity import recording
from reconciler.control.registry import audit, certificates, receipts
from reconciler.relay.spool import Spool
from tests.operator_cases import Site, site
from tests.talk_cases import batch, receipt

pytestmark = pytest.mark.needs("opa")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that all tests of this page bring reports to, each of another agent."""
    from reconciler.opa.program import find_opa  # noqa: PLC0415 - only where OPA is there, see pytestmark

    with site(tmp_path_factory.mktemp("site"), find_opa(None)) as made:
        yield made


def signed(shared: Site, agent: str, number: int, *, tenant: str = "shop", recorded: bool = True) -> SignedBatch:
    """Return a batch with a receipt, both signed by an agent whose certificate the registry knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = AgentName(domain=DOMAIN, tenant=tenant, agent=agent)
    made = shared.zone.keeper.issue(key.public_key(), name)
    if recorded:
        with shared.registry.begin() as connection:
            certificates.record(connection, recording.row(made.certificate, name), how="enrolled", now=shared.zone.settings.now())

    def signature(message: bytes) -> str:
        return base64.b64encode(key.sign(message, ec.ECDSA(hashes.SHA256()))).decode()

    said = receipt(agent, serial=number, fleet=f"{tenant}/web")
    own = SignedReceipt(receipt=said, certificate=fingerprint(made.certificate), signature=signature(report.receipt_message(said)))
    data = codec.canonical(batch(number, receipts=[own]))
    text = base64.b64encode(data).decode()
    return SignedBatch(format=1, certificate=made.chain, batch=text, signature=signature(report.batch_message(data)))


def relay_with(directory: Path, *batches: SignedBatch) -> Path:
    """Return the state directory of a relay with these reports waiting."""
    Spool(directory / "relay" / "spool").keep([codec.canonical(one) for one in batches])
    return directory / "relay"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["mirror", *map(str, arguments)], standalone_mode=False)


def bring(shared: Site, stick: Path, *more: str) -> Result:
    return run("reports-in", stick, "--tenant", "shop", "--state", shared.state, "--reason", "site 7", *more)


def kept(shared: Site, agent: str) -> list[int]:
    with shared.registry.read() as connection:
        return [one.signed.receipt.serial for one in receipts.listed(connection, receipts.Filter(tenant="shop", agent=agent)).items]


def test_reports_come_home_on_a_stick_once_however_often_they_are_brought(shared: Site, tmp_path: Path) -> None:
    relay, stick = relay_with(tmp_path, signed(shared, "web-01", 1), signed(shared, "web-02", 1)), tmp_path / "stick"
    out = run("reports-out", stick, "--tenant", "shop", "--state", relay)
    assert out.output == "shop: reports on the stick: 2, new: 2\n"
    assert bring(shared, stick).output == "shop: reports kept: 2, refused: 0\n"
    assert json.loads(bring(shared, stick, "--format", "json").output) == {"tenant": "shop", "kept": 2, "dropped": []}
    assert (kept(shared, "web-01"), kept(shared, "web-02")) == ([1], [1])
    with shared.registry.read() as connection:
        noted = [one for one in audit.listed(connection, "shop").items if one.action == "reports.carry"]
    assert {(one.reason, one.detail["kept"]) for one in noted} == {("site 7", 2)}


def test_what_is_taken_away_is_on_the_stick_first(tmp_path: Path, shared: Site) -> None:
    relay, stick = relay_with(tmp_path, signed(shared, "db-01", 1)), tmp_path / "stick"
    said = run("reports-out", stick, "--tenant", "shop", "--state", relay, "--remove", "--format", "json")
    assert json.loads(said.output) == {"tenant": "shop", "reports": 1, "new": 1, "removed": True}
    assert list((relay / "spool").iterdir()) == []
    assert bring(shared, stick).exit_code == 0
    assert kept(shared, "db-01") == [1]


def test_reports_of_one_tenant_are_not_taken_away_as_anothers(tmp_path: Path, shared: Site) -> None:
    relay = relay_with(tmp_path, signed(shared, "web-01", 4))
    (relay / "store" / "public" / "shop").mkdir(parents=True)
    refused = run("reports-out", tmp_path / "stick", "--tenant", "shpo", "--state", relay, "--remove")
    assert "this relay carries for tenant shop, and not for shpo" in str(refused.exception)
    assert len(list((relay / "spool").iterdir())) == 1


def test_what_was_changed_on_the_way_or_is_anothers_is_refused_and_the_rest_is_kept(shared: Site, tmp_path: Path) -> None:
    good, other = signed(shared, "web-01", 2), signed(shared, "lab-01", 1, tenant="lab")
    forged = replace_batch(good, codec.canonical(batch(3)))
    stick = tmp_path / "stick"
    run("reports-out", stick, "--tenant", "shop", "--state", relay_with(tmp_path, forged, other, good))
    done = bring(shared, stick)
    assert (done.return_value, done.stdout) == (1, "shop: reports kept: 1, refused: 2\n")
    assert done.stderr.count("refused: ") == 2
    assert 2 in kept(shared, "web-01")


def replace_batch(one: SignedBatch, data: bytes) -> SignedBatch:
    return SignedBatch(format=1, certificate=one.certificate, batch=base64.b64encode(data).decode(), signature=one.signature)


def test_hosts_behind_a_relay_are_known_again_by_their_reports_once_the_registry_is_lost(shared: Site, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    lost, unknown = signed(shared, "runners/7f3a", 1, recorded=False), signed(shared, "never-01", 1, recorded=False)
    run("reports-out", stick, "--tenant", "shop", "--state", relay_with(tmp_path, lost, unknown))
    assert bring(shared, stick).stdout == "shop: reports kept: 1, refused: 1\n"
    assert kept(shared, "runners/7f3a") == [1]
    assert kept(shared, "never-01") == []


def test_a_stick_without_reports_is_told(shared: Site, tmp_path: Path) -> None:
    assert "no reports" in str(bring(shared, tmp_path).exception)
    assert "no relay has run" in str(run("reports-out", tmp_path / "stick", "--tenant", "shop", "--state", tmp_path).exception)
