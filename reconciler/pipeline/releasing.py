"""What accepted state brings to the control zone: approved releases, and each tenant's controls.

Made of the session alone and written only where it differs from what stands in the store, so it may be done again at
any time: after a crash, after a tenant got its keys, after a restore.
"""

import logging
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

import msgspec

from agent.protocol import bundle
from agent.protocol.errors import RefusedError
from agent.protocol.faults import reached
from reconciler.pipeline.accepted import AcceptedState
from reconciler.pipeline.accepted import write as write_accepted
from reconciler.pipeline.approve import approve_release, renew_releases, write_controls
from reconciler.pipeline.approve_members import same_members
from reconciler.pipeline.compile.controls import controls_of, freshness_of
from reconciler.pipeline.compile.turns import in_turn
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.decisions import read_record
from reconciler.pipeline.delist import delist_outdated
from reconciler.pipeline.listing import read_standing
from reconciler.pipeline.session import Parts, Session, explain, has_keys
from reconciler.pipeline.signing import decision_keys, releases_signing, repository_signing
from reconciler.publication import layout, operator_rules
from reconciler.publication.controls import Controls

_log = logging.getLogger(__name__)
PLACES = ("pipeline:before-controls", "pipeline:after-approve", "pipeline:after-released")
"""Where a crash test may kill the pipeline here."""


def release(
    parts: Parts, session: Session, fleets: Collection[FleetKey], tenants: Collection[str], *, later: Collection[str] = ()
) -> list[str]:
    """Write these tenants' controls and approve what is compiled for these fleets; return the fleets that changed.

    Tenants without keys are passed over: they wait, and hold up nobody. Controls come first, since they say how releases go out, but
    for the tenants of whom that stays as it is (`later`): hosts wait for releases, and to work out a large tenant's controls takes
    longer than to approve one.
    """
    concerned = {*tenants, *(tenant for tenant, _ in fleets)}
    keyless = sorted(tenant for tenant in concerned if not has_keys(parts, tenant))
    if keyless:
        parts.make_keys(keyless)
    session.waiting = {name for name in {*session.waiting, *concerned} if not has_keys(parts, name)}
    _bring_controls(parts, session, {*tenants}.difference(later), fleets)
    compiled = session.released.compiled
    turns = in_turn({key: compiled[key].document for key in fleets if key in compiled})
    changed = [key for key in turns if _approve(parts, session, key)]
    _bring_controls(parts, session, {*tenants}.intersection(later))
    return ["/".join(key) for key in changed]


def _bring_controls(parts: Parts, session: Session, tenants: Collection[str], fleets: Collection[FleetKey] = ()) -> None:
    """Write these tenants' controls; `fleets` are approved next, where what is compiled for them is not what stands approved."""
    for tenant in sorted(tenants):
        reached("pipeline:before-controls")
        own = [fleet for name, fleet in fleets if name == tenant]
        _write_controls(parts, session, tenant, controls_of(session.corpus.world, tenant), own)


def mark_released(parts: Parts, session: Session) -> None:
    """Note in the accepted state that all of its releases and controls are in the store."""
    if session.stored is None or session.stored.state.released == session.stored.state.decision:
        return
    state = msgspec.structs.replace(session.stored.state, released=session.stored.state.decision)
    session.stored = write_accepted(parts.store, repository_signing(parts.ring).signer, state, session.stored, now=parts.now())
    reached("pipeline:after-released")


def _approve(parts: Parts, session: Session, key: FleetKey) -> bool:
    compiled, state = session.released.compiled.get(key), session.state
    if compiled is None or state is None or not has_keys(parts, key[0]) or key in session.released.frozen:
        return False
    signing = releases_signing(parts.store, parts.ring, key[0])
    done = approve_release(
        parts.store,
        signing.signer,
        tenant=key[0],
        fleet=key[1],
        data=compiled.data,
        digest=compiled.digest,
        pools=compiled.pools,
        agents=compiled.agents,
        commit=state.head,
        decision=state.decision,
        freshness_seconds=freshness_of(compiled.document),
        now=parts.now(),
        known=signing.known,
    )
    if done.changed:
        _log.info("approved", extra={"fleet": compiled.fleet, "digest": compiled.digest[:12], "members": done.release.members})
        reached("pipeline:after-approve")
    return done.changed


def _is_coming(parts: Parts, session: Session, tenant: str, fleet: str) -> bool:
    """Return whether `_approve` will bring a fleet that has a release another one: of another bundle, or for other members."""
    compiled = session.released.compiled.get((tenant, fleet))
    if compiled is None or (tenant, fleet) in session.released.frozen:
        return False
    signing = releases_signing(parts.store, parts.ring, tenant)
    standing = read_standing(parts.store, signing.known or [signing.signer.public_key], tenant=tenant, fleet=fleet)
    if not standing.bundles:
        return False
    known = same_members(standing, f"{tenant}/{fleet}", compiled.pools, compiled.agents)
    return standing.bundles[-1].digest != compiled.digest or known is None


def _write_controls(parts: Parts, session: Session, tenant: str, planned: dict[str, Any], fleets: Collection[str] = ()) -> None:
    state = session.state
    if state is None or not has_keys(parts, tenant):
        return
    fleets = {name: {**fleet, **_standing(state, f"{tenant}/{name}")} for name, fleet in planned["fleets"].items()}
    authz = _write_operator_rules(parts, session)
    plain = {**planned, "tenant": tenant, "head": state.head, "decision": state.decision, "fleets": fleets, "authz": authz}
    controls = msgspec.convert(plain, Controls)
    signing = releases_signing(parts.store, parts.ring, tenant)
    write_controls(
        parts.store,
        signing.signer,
        controls,
        now=parts.now(),
        known=signing.known,
        coming=lambda: [fleet for fleet in fleets if _is_coming(parts, session, tenant, fleet)],
    )


def _write_operator_rules(parts: Parts, session: Session) -> str:
    """Put the accepted judge's rules about operators into the store before controls name them; return their digest, empty for none."""
    digest, data = operator_rules.pack(session.policies.judge.authz if session.policies is not None else {})
    if digest:
        parts.store.create(layout.authz(digest), data)
    return digest


def _standing(state: AcceptedState, fleet: str) -> dict[str, str]:
    known = state.fleets.get(fleet)
    return {"state": known.state, "why": known.why, "since": known.since, "commit": known.commit} if known else {"state": "ok"}


def renew(parts: Parts, session: Session) -> None:
    """Sign again what is at half of its life, or by a key that was rotated: releases (frozen fleets' too) and controls of all tenants.

    A desired bundle that is gone from the store is put there again: `ordain gc` may have been killed before it could.
    """
    for tenant in session.corpus.world.names:
        if not has_keys(parts, tenant):
            continue
        planned = controls_of(session.corpus.world, tenant)
        signing = releases_signing(parts.store, parts.ring, tenant)
        for name, fleet in planned["fleets"].items():
            seconds = int(fleet["freshness"])
            if renew_releases(
                parts.store, signing.signer, tenant=tenant, fleet=name, freshness_seconds=seconds, now=parts.now(), known=signing.known
            ):
                _log.info("renewed", extra={"fleet": f"{tenant}/{name}"})
            compiled = session.released.compiled.get((tenant, name))
            if compiled and parts.store.size(layout.approved(tenant, name, bundle.target(name, compiled.digest))) is None:
                _approve(parts, session, (tenant, name))
        _write_controls(parts, session, tenant, planned)
        session.signed_by[tenant] = signing.signer.public_key.keyid


def delist(parts: Parts, session: Session) -> None:
    """Take off all lists what another judge approved than the present one, and no host is to run or to return to.

    To be asked after a change of the judge, and now and then: a release that was the stable one then is named by no document later.
    """
    judged_now = _judged_by(parts, session.state.judge if session.state else "")
    for tenant, fleet in session.corpus.world.fleets():
        if not has_keys(parts, tenant):
            continue
        signing = releases_signing(parts.store, parts.ring, tenant)
        try:
            gone = delist_outdated(
                parts.store, signing.signer, tenant=tenant, fleet=fleet, judged_now=judged_now, known=signing.known, now=parts.now()
            )
        except RefusedError as error:
            _log.warning("nothing is delisted: %s", explain(error), extra={"fleet": f"{tenant}/{fleet}"})
            continue
        if gone:
            _log.info("delisted", extra={"fleet": f"{tenant}/{fleet}", "digests": ",".join(digest[:12] for digest in gone)})


def _judged_by(parts: Parts, judge: str) -> Callable[[int], bool]:
    """Return what tells of a decision whether this judge made it; one that is lost, or that nobody of us signed, was made by another."""
    keys = decision_keys(parts.ring)

    @cache
    def judged(sequence: int) -> bool:
        try:
            record = read_record(parts.store, keys, sequence)
        except RefusedError as error:
            _log.warning("taken for another judge's: %s", explain(error))
            return False
        return record is not None and record.judge == judge

    return judged


def keys_changed(parts: Parts, session: Session) -> bool:
    """Return whether a tenant's trust names another key of ours than the one that signed last: `renew` is due."""
    tenants = (tenant for tenant in session.corpus.world.names if has_keys(parts, tenant))
    return any(releases_signing(parts.store, parts.ring, one).signer.public_key.keyid != session.signed_by.get(one) for one in tenants)
