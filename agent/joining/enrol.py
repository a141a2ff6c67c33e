"""Joining: a token, or what the host's platform says of it, for a certificate.

Asked again after any crash it asks with the same key. A token whose enrolment is done is not shown a second time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.disk import Disk, Identity
from agent.fetching.fetcher import Http
from agent.fetching.refusal import NotGrantedError
from agent.fetching.tls import Tls, UntrustedError
from agent.joining.authority import ask_authority, expected_roots
from agent.joining.clocks import clock_hint
from agent.joining.identity import FORMAT, Enrolled, Enrolment, Identities
from agent.joining.requests import certificate_request, require_issued, with_certificate
from agent.protocol import codec
from agent.protocol.enrolment import ANSWER_LIMIT, EnrolmentRequest, Issued, Token, write_token
from agent.protocol.enrolment import FORMAT as WIRE_FORMAT
from agent.protocol.errors import InputError, OrdainError, RefusedError, RetryError
from agent.trust.anchor import check_root_metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What this host has to show: a token, or a platform's token with the tenant and the name or pool that it asks for.

    `fingerprints` are those of the roots to believe: a token brings its own.
    """

    server: str
    tenant: str
    fingerprints: tuple[str, ...]
    token: Token | None = None
    platform: str = ""
    agent: str = ""
    pool: str = ""

    @property
    def token_id(self) -> str:
        """The id of the token, "" for a platform's."""
        return self.token.body.id if self.token else ""


def enrol(asked: Asked, disk: Disk, *, root: Path, config: Path, facts: Mapping[str, Any]) -> tuple[Enrolled, bool]:
    """Return who this host is from now on, and whether that is news: a token that was used here already is not shown again.

    Call it with `run.lock` held.

    Raises:
        RefusedError: another authority than expected, or the server does not grant it; the message says what to do.
        RetryError: the server can't be reached now.
        InputError: the state directory is another agent's.
    """
    identities = Identities(directory=disk.joining)
    known = identities.current()
    identities.sweep()
    if known is not None and asked.token_id and known.enrolment.token == asked.token_id:
        return known, False
    _require_own(disk, known, asked)
    stated = ask_authority(asked.server)
    roots = expected_roots(stated, asked.fingerprints, server=asked.server)
    key = identities.next_key()
    issued = _ask(asked, roots, certificate_request(key), facts, hint=clock_hint(stated.server_time))
    name = require_issued(issued, key, tenant=asked.tenant, agent=asked.agent)
    check_root_metadata(issued.root.encode(), tenant=name.tenant, what=f"{asked.server}: the root metadata that it sent")
    _require_own(disk, known, asked, agent=name.agent)
    enrolment = Enrolment(
        format=FORMAT,
        server=asked.server,
        tenant=name.tenant,
        agent=name.agent,
        root=str(root),
        config=str(config),
        token=asked.token_id,
    )
    enrolled = identities.adopt(issued, with_certificate(enrolment, issued))
    for gone in (disk.left, disk.reported):  # of an enrolment before: this one begins anew
        gone.unlink(missing_ok=True)
    return enrolled, True


def _ask(asked: Asked, roots: str, request: str, facts: Mapping[str, Any], *, hint: str) -> Issued:
    """Ask for a certificate over a connection that the roots verify."""
    wanted = EnrolmentRequest(
        format=WIRE_FORMAT,
        request=request,
        token=write_token(asked.token) if asked.token else "",
        platform=asked.platform,
        tenant="" if asked.token else asked.tenant,
        agent=asked.agent,
        pool=asked.pool,
        facts=dict(facts),
    )
    http = Http(Tls(server=asked.server, authority=roots))
    try:
        data = http.post(f"{asked.server}/v1/enrol", codec.canonical(wanted), limit=ANSWER_LIMIT)
    except NotGrantedError as error:
        raise _explained(asked, error, clock_hint(error.server_time)) from error
    except UntrustedError as error:
        message = f"{error}{'. ' if hint and error.clock else ''}{hint if error.clock else ''}"
        raise RetryError(message) from error
    finally:
        http.close()
    return codec.decode(data, Issued, what=f"{asked.server}/v1/enrol", limit=ANSWER_LIMIT)


def _explained(asked: Asked, error: NotGrantedError, hint: str) -> OrdainError:
    """Return a refusal with what to do about it."""
    if error.overloaded or error.status >= 500 or not error.code:  # noqa: PLR2004 - the server's own faults
        return RetryError(f"{error}; ask again{f' in {error.retry_after} s' if error.retry_after else ''}. The token is still good")
    remedy = (_REMEDIES if asked.token else _REMEDIES | _PLATFORM_REMEDIES).get(error.code, "").format(tenant=asked.tenant)
    return RefusedError(". ".join(filter(None, (str(error), remedy, hint))))


_AGAIN = "If this host takes its place, enrol with a token that was made with --reimage (ordain token create --tenant {tenant} … --reimage)"
_REMEDIES = {
    "unauthenticated": "A token lives for a short time and serves once; `ordain token create --tenant {tenant} …` makes another",
    "unknown": "Commit its manifest, then enrol again: `ordain agents pending` lists who asked, and writes an agent's with --write",
    "conflict": f"{_AGAIN}, or have its manifest say `enrolment: {{{{reimage: allowed}}}}`",
    "revoked": _AGAIN,
    "refused": "Nothing was changed; who runs ordain there finds it in the audit of tenant {tenant}",
}
"""Code → what to do; the token is of no more use for most of them."""
_PLATFORM_REMEDIES = {"unauthenticated": "Is it a new token of the platform, for the issuer and audience that the manifest names?"}
"""The same where the platform made the token."""


def _require_own(disk: Disk, enrolled: Enrolled | None, asked: Asked, agent: str = "") -> None:
    """Raise `InputError` if the state directory belongs to another agent than the one that enrols: one that ran here, or only enrolled.

    A pool's host that never ran may enrol anew as another of its pool: it holds nothing, and what it was before ends with its lease.
    """
    wanted = agent or asked.agent
    if disk.identity.exists():
        known: Identity | Enrolment = disk.read_identity()
        why, way = "whose releases this host may hold", "run `ordain-agent uninstall`"
        other = wanted not in {"", known.agent}
    elif enrolled is not None:
        known = enrolled.enrolment
        why, way = "whose only key is there", "remove that directory"
        other = wanted.partition("/")[0] not in {"", known.agent.partition("/")[0]}
    else:
        return
    if known.tenant != asked.tenant or other:
        message = (
            f"{disk.root} belongs to agent {known.tenant}/{known.agent}, {why}; "
            f"give {asked.tenant}/{wanted or 'the new one'} a --state of its own, or {way} first"
        )
        raise InputError(message)
