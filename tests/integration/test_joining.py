"""Joining and staying: a host enrols over real TLS, and its identity survives crashes, lapsed certificates and changes of authority."""

import base64
import json
import socket
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agent.fetching.fetcher import Http
from agent.fetching.refusal import NotGrantedError
from agent.fetching.tls import Tls, UntrustedError
from agent.joining.identity import Enrolled, Identities
from agent.joining.renew import Renewer, renewal_share, tls_of, why_not
from agent.joining.requests import certificates
from agent.protocol.enrolment import Refusal
from agent.protocol.errors import MalformedError, RetryError
from agent.protocol.report import receipt_message
from tests.agent_cases import file_state
from tests.joining_cases import SECRET, Controlled, Joined, joined, make_issuer

KILLED = -9
ENROLLING = ["joining:after-key", "durable:before-name@5", "joining:before-pointer", "joining:after-pointer"]
RENEWING = ["joining:after-key", "joining:before-pointer", "joining:after-pointer"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Joined]:
    with joined(tmp_path) as made:
        yield made


def identity(host: Joined) -> Enrolled:
    found = Identities(directory=host.state / "identity").current()
    assert found is not None
    return found


def renewer(host: Joined) -> Renewer:
    """Return what renews an enrolled host's certificate, as the loop wires it."""
    known = identity(host)
    return Renewer(identities=Identities(directory=host.state / "identity"), enrolled=known, http=Http(tls_of(known)))


def test_a_host_enrols_with_a_token_and_then_runs_without_any_option(host: Joined) -> None:
    host.fleet().publish(file_state(a="1"), ["web-01"])
    done = host.enroll()
    assert done.returncode == 0, done.stderr
    assert "enrolled as shop/web-01" in done.stdout
    ran = host.run()
    assert ran.returncode == 0, ran.stderr
    assert host.text("/etc/app/a") == "1"
    shown = host.answer("whoami")
    assert (shown["tenant"], shown["agent"], shown["server"], shown["certificate"]["lapsed"]) == ("shop", "web-01", host.server.url, False)
    assert shown["lastContact"] is not None
    assert host.answer("status")["certificate"]["sha256"] == identity(host).fingerprint


def test_the_key_stays_on_the_host_for_its_owner_alone_and_no_secret_is_said(host: Joined) -> None:
    done = host.enroll()
    secret = host.server.token().rpartition(".")[2]
    assert secret not in done.stdout + done.stderr
    assert stat.S_IMODE(identity(host).key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE((host.state / "identity").stat().st_mode) == 0o700
    assert not any(secret.encode() in file.read_bytes() for file in host.state.rglob("*") if file.is_file())
    assert b"PRIVATE" not in host.server.enrolled[0].request.encode()


@pytest.mark.parametrize("place", ENROLLING)
def test_whoever_is_killed_while_enrolling_enrols_with_the_same_token_and_key(host: Joined, place: str) -> None:
    assert host.enroll(fault=place).returncode == KILLED
    assert len(set(host.server.keys)) <= 1
    done = host.enroll()
    assert done.returncode == 0, done.stderr
    assert len(set(host.server.keys)) == 1
    assert host.run().returncode == 0
    assert sorted(entry.name for entry in (host.state / "identity").iterdir() if not entry.name.isdecimal()) == ["current"]


def test_a_token_that_was_used_here_is_not_shown_again(host: Joined) -> None:
    host.enroll()
    again = host.enroll()
    assert (again.returncode, len(host.server.enrolled)) == (0, 1)
    assert "enrolled already" in again.stdout


@pytest.mark.parametrize("ran", [False, True])
def test_a_state_directory_that_another_agent_enrolled_in_is_not_taken_from_it(host: Joined, *, ran: bool) -> None:
    host.fleet().publish(file_state(a="1"), ["web-01"])
    host.enroll()
    if ran:
        host.run()
    before = identity(host)
    host.server.agent = "web-02"
    host.server.tokens["2"], host.server.keys = SECRET, []
    done = host.enroll("--token", host.server.token("2"))
    assert (done.returncode, "belongs to agent shop/web-01" in done.stderr) == (2, True), done.stderr
    assert identity(host) == before
    assert before.key_file.exists()


def test_a_host_of_a_pool_that_never_ran_may_enrol_anew_as_another_of_it(host: Joined) -> None:
    host.server.agent = "runners/1"
    host.enroll()
    host.server.agent = "runners/2"
    host.server.tokens["2"], host.server.keys = SECRET, []
    done = host.enroll("--token", host.server.token("2"))
    assert (done.returncode, identity(host).enrolment.agent) == (0, "runners/2"), done.stderr


def test_nothing_is_told_to_a_server_of_another_authority(host: Joined) -> None:
    told = host.server.token()
    host.server.roots = [make_issuer()]
    done = host.enroll("--token", told)
    assert done.returncode == 1
    assert "not the authority that the token was made for" in done.stderr
    assert host.server.enrolled == []


def test_a_server_whose_certificate_is_of_another_name_is_not_believed(host: Joined) -> None:
    host.join()
    known = identity(host)
    other = host.server.url.replace("127.0.0.1", "localhost")
    http = Http(Tls(server=other, authority=known.authority))
    with pytest.raises(UntrustedError, match="of another name"):
        http.get(f"{other}/v1/authority", limit=10_000)
    http.close()


def test_a_port_that_speaks_no_tls_is_said_to_be_the_wrong_one(host: Joined) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        done = host.enroll("--token", host.server.token(), "--server", f"https://127.0.0.1:{plain.getsockname()[1]}")
        thread.join()
    assert (done.returncode, "does not speak TLS; is it the right port?" in done.stderr) == (3, True), done.stderr


def test_the_certificate_is_shown_to_the_server_and_to_nobody_else(host: Joined, tmp_path: Path) -> None:
    host.join()
    (tmp_path / "elsewhere").mkdir()
    elsewhere = Controlled(tmp_path / "elsewhere")
    try:
        http = Http(tls_of(identity(host)))
        with pytest.raises(UntrustedError):  # by the system's roots, which don't know it
            http.post(f"{elsewhere.url}/v1/reports", b"{}", limit=1000)
        assert elsewhere.shown == []
        http.close()
    finally:
        elsewhere.close()


@pytest.mark.parametrize(
    ("refusal", "status", "says", "code"),
    [
        ("unauthenticated", 401, "ordain token create --tenant shop", 1),
        ("unknown", 404, "Commit its manifest, then enrol again: `ordain agents pending` lists who asked", 1),
        ("conflict", 409, "… --reimage), or have its manifest say `enrolment: {reimage: allowed}`", 1),
        ("revoked", 403, "ordain token create --tenant shop … --reimage", 1),
        ("unavailable", 503, "The token is still good", 3),
    ],
)
def test_a_refusal_says_what_to_do(host: Joined, refusal: str, status: int, says: str, code: int) -> None:
    host.server.refusals["/v1/enrol"] = status, Refusal(code=refusal, error="no")
    done = host.enroll()
    assert done.returncode == code
    assert says in done.stderr


def test_a_clock_that_is_a_day_off_is_named_when_enrolling_fails(host: Joined) -> None:
    host.server.clock_apart = timedelta(days=1, hours=1)
    host.server.refusals["/v1/enrol"] = 401, Refusal(code="unauthenticated", error="the token's time is over")
    assert "25 hours behind the server's: set it right" in host.enroll().stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "give one of --token, --token-file and --platform-token"),
        (("--token", "x"), "not an enrolment token"),
        (("--token-file", "/nowhere"), "it should hold a token"),
        (("--token", "-", "--tenant", "shop"), "a token says that itself"),
        (("--platform-token", "/nowhere"), "needs --tenant, --authority"),
        (("--platform-token", "/nowhere", "--tenant", "shop", "--pool", "p", "--authority", "3f1c"), "write the SHA-256 of the root"),
        (("--token", "x", "--server", "https://127.0.0.1:8420/api/v1"), "leave out what follows the port"),
    ],
)
def test_what_is_not_understood_is_said(host: Joined, options: tuple[str, ...], says: str) -> None:
    done = host.enroll(*(options or ("--format", "text")))
    assert done.returncode in (1, 2)
    assert says in done.stderr


def test_a_platforms_token_is_shown_with_the_pool_that_the_host_asks_for(host: Joined, tmp_path: Path) -> None:
    (tmp_path / "projected").write_text("a.b.c\n")
    host.server.agent = "runners/7f3a"
    authority = host.server.roots[0].certificate.fingerprint(hashes.SHA256()).hex()
    given = ("--platform-token", str(tmp_path / "projected"), "--tenant", "shop", "--pool", "runners", "--authority", authority)
    done = host.enroll(*given)
    assert "enrolled as shop/runners/7f3a" in done.stdout, done.stderr
    (asked,) = host.server.enrolled
    assert (asked.platform, asked.tenant, asked.pool, asked.token) == ("a.b.c", "shop", "runners", "")


def test_enrolled_and_told_are_exclusive(host: Joined) -> None:
    assert "not enrolled" in host.run().stderr
    host.enroll()
    done = host.ask("run", "--once", "--tenant", "shop")
    assert (done.returncode, "leave out --tenant" in done.stderr) == (2, True)


# Staying


def test_a_certificate_is_renewed_at_half_its_life_give_or_take_a_twentieth() -> None:
    shares = [renewal_share(f"{number * 2**56:016x}" + "0" * 48) for number in range(256)]
    assert 0.45 <= min(shares) < 0.46
    assert 0.54 < max(shares) <= 0.55


def test_a_renewal_is_for_another_key_over_the_old_certificate(host: Joined) -> None:
    host.join()
    known, made = identity(host), renewer(host)
    former = certificates(known.chain)[0].public_key()
    assert made.seconds() > 9 * 3600
    renewed = made.renew()
    assert host.server.shown[-1] == ("/v1/certificates", known.fingerprint)
    assert renewed.fingerprint == identity(host).fingerprint != known.fingerprint
    assert certificates(renewed.chain)[0].public_key() != former
    made.http.post(f"{host.server.url}/v1/watch", b'{"format":1}', limit=10_000)
    assert host.server.shown[-1] == ("/v1/watch", renewed.fingerprint)
    made.http.close()


def test_a_certificate_that_ran_out_is_renewed_by_its_key(host: Joined) -> None:
    host.server.clock_apart = timedelta(days=-2)  # so that it ended a day ago
    host.join()
    host.server.clock_apart = timedelta()
    host.fleet().publish(file_state(a="1"), ["web-01"])
    known = identity(host)
    assert host.poll() == 0, host.log
    assert ("/v1/certificates/lapsed", "") in host.server.shown
    assert identity(host).ends > datetime.now(UTC) > known.ends
    assert host.text("/etc/app/a") == "1"


def test_a_clock_that_is_a_day_ahead_renews_once_and_not_all_the_time(host: Joined) -> None:
    host.join()
    made = renewer(host)
    made.wall = lambda: datetime.now(UTC) + timedelta(days=1)
    made.__post_init__()
    assert made.seconds() == 0
    made.renew()
    assert made.seconds() > 9 * 3600
    made.http.close()


def test_an_agent_that_the_server_says_is_lapsed_renews_whatever_its_clock_says(host: Joined) -> None:
    host.join()
    made = renewer(host)
    made.lapse()
    assert made.seconds() == 0
    made.renew()
    assert host.server.shown[-1][0] == "/v1/certificates/lapsed"
    made.http.close()


def test_a_refused_renewal_keeps_the_certificate_and_is_tried_again_later(host: Joined) -> None:
    host.join()
    host.server.refusals["/v1/certificates"] = 403, Refusal(code="revoked", error="the certificate is revoked")
    known, made = identity(host), renewer(host)
    with pytest.raises(NotGrantedError) as refused:
        made.renew()
    assert "enrol this host again" in why_not(refused.value)
    assert identity(host).fingerprint == known.fingerprint
    assert 100 < made.seconds() <= 600
    made.http.close()


@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize(("status", "code", "exits"), [(410, "decommissioned", 1), (403, "revoked", 1), (503, "unavailable", 3)])
def test_a_host_whose_time_is_over_and_that_is_not_wanted_back_is_refused_and_not_told_to_try_later(
    host: Joined, status: int, code: str, exits: int, *, said: bool
) -> None:
    host.server.agent = "runners/1"
    host.server.clock_apart = timedelta(days=0 if said else -2)  # what the host's own clock does not say, the server does
    host.join()
    host.server.clock_apart = timedelta()
    host.server.over.add(identity(host).fingerprint)
    host.server.refusals["/v1/certificates/lapsed"] = status, Refusal(code=code, error="runners/1 is decommissioned: its lease is over")
    ran = host.run()
    assert ran.returncode == exits, ran.stderr


@pytest.mark.parametrize("place", RENEWING)
def test_an_agent_killed_while_renewing_has_the_old_certificate_or_the_new_one(host: Joined, place: str) -> None:
    host.server.clock_apart = timedelta(days=-2)  # so that it ended a day ago
    host.join()
    host.server.clock_apart = timedelta()
    assert host.run(fault=place).returncode == KILLED
    known = identity(host)
    assert certificates(known.chain)[0].public_key() == _key(known).public_key()
    assert host.run().returncode == 0
    assert identity(host).ends > datetime.now(UTC)


def _key(known: Enrolled) -> ec.EllipticCurvePrivateKey:
    from agent.joining.identity import read_key  # noqa: PLC0415

    return read_key(known.key_file)


def test_an_announced_root_is_believed_after_the_next_renewal(host: Joined) -> None:
    host.join()
    coming = make_issuer()
    host.server.roots = [host.server.root, coming]
    made = renewer(host)
    made.renew()
    assert len(Identities(directory=host.state / "identity").current().authority.split("BEGIN")) == 3  # type: ignore[union-attr]
    made.http.close()


def test_an_identity_that_is_damaged_is_said_and_not_used(host: Joined) -> None:
    host.join()
    identity(host).key_file.write_text("x")
    with pytest.raises(MalformedError, match="enrol"):
        Http(tls_of(identity(host)))
    (host.state / "identity/current").write_text("99\n")
    with pytest.raises(MalformedError, match="enrol again"):
        identity(host)


def test_receipts_are_signed_by_the_certificates_key(host: Joined) -> None:
    host.fleet().publish(file_state(a="1"), ["web-01"])
    host.join()
    host.poll()
    known = identity(host)
    (signed,) = [one for batch in host.server.batches for one in batch.receipts]
    assert signed.certificate == known.fingerprint
    public = certificates(known.chain)[0].public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(base64.b64decode(signed.signature), receipt_message(signed.receipt), ec.ECDSA(hashes.SHA256()))


def test_doctor_looks_at_certificate_and_clock(host: Joined) -> None:
    host.join()
    host.poll()
    found = {one["name"]: one for one in json.loads(host.ask("doctor", "--format", "json").stdout)["findings"]}
    assert found["enrolment"]["level"] == "ok"
    host.server.clock_apart = timedelta(days=-2)
    clocks = [one for one in json.loads(host.ask("doctor", "--format", "json").stdout)["findings"] if one["name"] == "clock"]
    assert any("ahead of the server's" in one["says"] for one in clocks)


def test_an_unreachable_server_is_asked_again_later(host: Joined) -> None:
    host.join()
    made = renewer(host)
    host.server.close()
    with pytest.raises(RetryError) as away:
        made.renew()
    assert str(away.value).endswith("/v1/certificates: Connection refused")
    assert made.seconds() > 0
    made.http.close()
