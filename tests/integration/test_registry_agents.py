"""Agents, certificates, tokens and who is pending, on SQLite and on PostgreSQL."""

from datetime import timedelta

import pytest

from agent.protocol.errors import InputError, RefusedError
from reconciler.control.registry import agents, certificates, facts, heartbeats, inventory, pending, statuses, tokens
from reconciler.control.registry.agents import Filter, State
from reconciler.control.registry.registry import Registry
from tests.registry_cases import DAY, HOUR, NOW, beat, certificate, status


def _enrol(registry: Registry, *names: str, tenant: str = "shop") -> None:
    with registry.begin() as connection:
        for name in names:
            agents.enrol(connection, tenant, name, by="token:t1", now=NOW, lease_until=NOW + HOUR if "/" in name else None)


def test_an_agent_that_enrols_is_there_in_its_first_incarnation(registry: Registry) -> None:
    _enrol(registry, "runners/7f3a")
    found = registry.look(agents.get, "shop", "runners/7f3a")
    assert found is not None
    assert (found.name, found.subject, found.incarnation, found.state) == ("shop/runners/7f3a", "runners", 1, "enrolled")
    assert (found.enrolled_at, found.lease_until, found.last_seen, found.sequence) == (NOW, NOW + HOUR, None, 0)
    assert registry.look(agents.get, "lab", "runners/7f3a") is None


def test_a_name_that_enrols_again_starts_anew_and_its_old_certificates_are_revoked(registry: Registry) -> None:
    _enrol(registry, "web-01")
    with registry.begin() as connection:
        certificates.record(connection, certificate(), how="enrolled", now=NOW)
        heartbeats.keep(connection, [beat(sequence=40)])
        statuses.keep(connection, [status()])
        facts.keep(connection, [facts.Facts(tenant="shop", agent="web-01", facts={"os": "debian"}, problems=[], at=NOW)])
    with registry.begin() as connection:
        again = agents.enrol(connection, "shop", "web-01", by="token:t2", now=NOW + DAY)
        assert (again.incarnation, again.sequence, again.enrolled_by) == (2, 0, "token:t2")
        assert [one.fingerprint for one in certificates.revoked_since(connection)] == [certificate().fingerprint]
        assert statuses.of_agent(connection, "shop", "web-01") == []
        assert facts.of(connection, "shop", "web-01") is None


def test_agents_are_found_by_label_fleet_pool_state_version_name_and_when_they_were_seen(registry: Registry) -> None:
    _enrol(registry, "web-01", "web-02", "db-01", "runners/7f3a")
    _enrol(registry, "web-01", tenant="lab")
    web = inventory.Subject(kind="agent", labels={"role": "web", "region": "eu"}, fleets=["web", "base"])
    git = {"web-01": web, "web-02": inventory.Subject(kind="agent", labels={"role": "web"}, fleets=["base"])}
    git["runners"] = inventory.Subject(kind="pool", labels={"role": "runner"}, fleets=["base"])
    with registry.begin() as connection:
        inventory.replace(connection, "shop", git, sequence=1)
        heartbeats.keep(connection, [beat("web-01", version="1.2", at=NOW), beat("web-02", version="1.1", at=NOW - DAY)])
        agents.set_state(connection, "shop", "db-01", "quarantined", by="operator:ana", reason="odd", now=NOW)
        agents.set_presence(connection, [("shop", "web-02", "lost"), ("shop", "web-01", "online")], now=NOW)

    def names(**wanted: object) -> list[str]:
        return [one.agent for one in registry.look(agents.listed, Filter(**({"tenants": ["shop"]} | wanted))).items]  # type: ignore[arg-type]

    assert names() == ["db-01", "runners/7f3a", "web-01", "web-02"]
    assert names(labels={"role": "web"}) == ["web-01", "web-02"]
    assert names(labels={"role": "web", "region": "eu"}) == ["web-01"]
    assert names(labels={"role": "runner"}) == ["runners/7f3a"]
    assert names(fleet="base") == ["runners/7f3a", "web-01", "web-02"]
    assert names(pool="runners") == ["runners/7f3a"]
    assert names(states=["quarantined"]) == ["db-01"]
    assert names(presences=["lost"]) == ["web-02"]
    assert names(version="1.2") == ["web-01"]
    assert names(prefix="web-") == ["web-01", "web-02"]
    assert names(prefix="web%") == []
    assert names(seen_since=NOW) == ["web-01"]
    assert names(seen_before=NOW) == ["db-01", "runners/7f3a", "web-02"]
    assert names(tenants=[]) == []
    assert names(tenants=None, prefix="web-01") == ["web-01", "web-01"]


def test_pages_of_agents_hold_each_once_in_the_same_order_on_both_databases(registry: Registry) -> None:
    _enrol(registry, "b", "a-2", "a/1", "a")
    _enrol(registry, "a", tenant="lab")
    seen, after = [], ""
    while True:
        page = registry.look(agents.listed, Filter(), after=after, limit=2)
        seen += [one.name for one in page.items]
        if not page.next:
            break
        after = page.next
    assert seen == ["lab/a", "shop/a", "shop/a-2", "shop/a/1", "shop/b"]
    with pytest.raises(InputError, match="not where a page begins"):
        registry.look(agents.listed, Filter(), after="nonsense")


def test_counts_leave_out_who_has_left(registry: Registry) -> None:
    _enrol(registry, "web-01", "web-02", "runners/1", "runners/2")
    with registry.begin() as connection:
        agents.set_state(connection, "shop", "web-02", "decommissioned", by="operator:ana", reason="sold", now=NOW, leave="remove")
        assert agents.count(connection, "shop") == 3
        assert agents.count(connection, "shop", pool="runners") == 2
        assert agents.counts(connection, tenants=["shop"]) == {("shop", "enrolled", ""): 3, ("shop", "decommissioned", ""): 1}
        assert agents.counts(connection, tenants=["lab"]) == {}


def test_a_decommissioned_agent_leaves_a_tombstone_and_comes_back_by_enrolling_alone(registry: Registry) -> None:
    _enrol(registry, "web-01")
    with registry.begin() as connection:
        certificates.record(connection, certificate(), how="enrolled", now=NOW)
        gone = agents.set_state(connection, "shop", "web-01", "decommissioned", by="operator:ana", reason="sold", now=NOW, leave="keep")
        assert (gone.state, gone.reason, gone.state_by, gone.leave) == ("decommissioned", "sold", "operator:ana", "keep")
        found = certificates.get(connection, certificate().fingerprint)
        assert found is not None
        assert found.revoked_why == "decommissioned: sold"
        with pytest.raises(InputError, match=r"shop/web-01 is decommissioned \(sold\)"):
            agents.set_state(connection, "shop", "web-01", "enrolled", by="operator:ana", reason="", now=NOW)
        assert agents.enrol(connection, "shop", "web-01", by="token:t", now=NOW + DAY).incarnation == 2


@pytest.mark.parametrize("state", ["revoked", "decommissioned"])
def test_an_agent_that_left_has_no_presence_and_gets_none_by_a_look_from_before(registry: Registry, state: State) -> None:
    _enrol(registry, "web-01", "web-02")
    with registry.begin() as connection:
        agents.set_presence(connection, [("shop", "web-01", "online"), ("shop", "web-02", "online")], now=NOW)
        agents.set_state(connection, "shop", "web-02", "quarantined", by="operator:ana", reason="odd", now=NOW)
        gone = agents.set_state(connection, "shop", "web-01", state, by="operator:ana", reason="sold", now=NOW)
        assert (gone.presence, gone.presence_at) == ("", None)
        agents.set_presence(connection, [("shop", "web-01", "lost")], now=NOW)
        assert [one.agent for one in agents.listed(connection, Filter(presences=["online", "lost"])).items] == ["web-02"]


def test_a_quarantined_agent_keeps_its_certificate_and_can_be_let_out(registry: Registry) -> None:
    _enrol(registry, "web-01")
    with registry.begin() as connection:
        certificates.record(connection, certificate(), how="enrolled", now=NOW)
        agents.set_state(connection, "shop", "web-01", "quarantined", by="operator:ana", reason="odd", now=NOW)
        assert certificates.revoked_since(connection) == []
        assert agents.set_state(connection, "shop", "web-01", "enrolled", by="operator:ana", reason="", now=NOW).state == "enrolled"
        with pytest.raises(InputError, match="no agent shop/web-09"):
            agents.set_state(connection, "shop", "web-09", "quarantined", by="operator:ana", reason="", now=NOW)


def test_members_of_pools_past_their_lease_are_found_the_oldest_first(registry: Registry) -> None:
    _enrol(registry, "runners/1", "runners/2", "web-01")
    with registry.begin() as connection:
        agents.extend_lease(connection, "shop", "runners/2", until=NOW - HOUR)
        assert [one.agent for one in agents.past_lease(connection, now=NOW + 2 * HOUR)] == ["runners/2", "runners/1"]
        assert [one.agent for one in agents.past_lease(connection, now=NOW)] == ["runners/2"]
        agents.set_state(connection, "shop", "runners/2", "decommissioned", by="system", reason="its lease is over", now=NOW)
        assert agents.past_lease(connection, now=NOW) == []


def test_hosts_of_pools_that_ended_are_forgotten_in_time_and_no_other(registry: Registry) -> None:
    _enrol(registry, "runners/1", "runners/2", "runners/3", "web-01")
    with registry.begin() as connection:
        heartbeats.keep(connection, [beat(name) for name in ("runners/1", "runners/2", "web-01")])
        statuses.keep(connection, [status("runners/1"), status("web-01")])
        facts.keep(connection, [facts.Facts(tenant="shop", agent="runners/1", facts={}, problems=(), at=NOW)])
        agents.extend_lease(connection, "shop", "runners/3", until=NOW + 9 * DAY)
        for name in ("runners/1", "runners/3", "web-01"):
            agents.set_state(connection, "shop", name, "decommissioned", by="serve", reason="its lease is over", now=NOW + HOUR)
        assert agents.prune_ended(connection, tenant="shop", before=NOW + HOUR, limit=9) == 0
        assert agents.prune_ended(connection, tenant="lab", before=NOW + 5 * DAY, limit=9) == 0
        assert agents.prune_ended(connection, tenant="shop", before=NOW + 5 * DAY, limit=9) == 1
        assert [one.agent for one in agents.listed(connection, Filter()).items] == ["runners/2", "runners/3", "web-01"]
        assert heartbeats.get(connection, "shop", "runners/1") is None
        assert (statuses.of_agent(connection, "shop", "runners/1"), facts.of(connection, "shop", "runners/1")) == ([], None)
        assert len(statuses.of_agent(connection, "shop", "web-01")) == 1


def test_a_registry_that_was_lost_takes_in_again_whom_git_knows(registry: Registry) -> None:
    with registry.begin() as connection:
        assert agents.take_in(connection, certificate("stranger"), subject_known=False, now=NOW) is None
        taken = agents.take_in(connection, certificate(), subject_known=True, now=NOW + HOUR)
        assert taken is not None
        assert (taken.agent, taken.enrolled_by, taken.incarnation) == ("web-01", "taken-in", 1)
        known = certificates.get(connection, certificate().fingerprint)
        assert known is not None
        assert known.how == "taken-in"
        assert agents.take_in(connection, certificate(), subject_known=True, now=NOW + HOUR) == taken


def test_one_whose_registry_knows_better_is_not_taken_in(registry: Registry) -> None:
    _enrol(registry, "web-01", "web-02", "web-03")
    earlier = NOW - DAY
    with registry.begin() as connection:
        agents.set_state(connection, "shop", "web-01", "revoked", by="operator:ana", reason="stolen", now=NOW)
        assert agents.take_in(connection, certificate("web-01", number=7), subject_known=True, now=NOW) is None
        assert agents.take_in(connection, certificate("web-02", begins=earlier), subject_known=True, now=NOW) is None
        assert agents.take_in(connection, certificate("web-03", begins=NOW + HOUR), subject_known=True, now=NOW) is not None
        certificates.revoke(connection, certificate("web-03").fingerprint, why="lost")
        assert agents.take_in(connection, certificate("web-03", begins=NOW + HOUR), subject_known=True, now=NOW) is None


def test_a_member_of_a_pool_that_is_taken_in_has_a_lease_again(registry: Registry) -> None:
    with registry.begin() as connection:
        taken = agents.take_in(connection, certificate("runners/1"), subject_known=True, now=NOW, lease_until=NOW + HOUR)
    assert taken is not None
    assert (taken.subject, taken.lease_until) == ("runners", NOW + HOUR)


def test_certificates_are_revoked_one_by_one_and_for_an_agent_and_told_since_when(registry: Registry) -> None:
    with registry.begin() as connection:
        for number in (1, 2, 3):
            certificates.record(connection, certificate(number=number, begins=NOW + number * HOUR), how="renewed", now=NOW)
        certificates.record(connection, certificate(number=1), how="lapsed", now=NOW)
        newest = certificates.of_agent(connection, "shop", "web-01")
        assert [(one.serial[-1], one.how) for one in newest] == [("3", "renewed"), ("2", "renewed"), ("1", "renewed")]
    with registry.begin() as connection:
        assert certificates.revoke(connection, certificate(number=1).fingerprint, why="mislaid")
        assert not certificates.revoke(connection, certificate(number=1).fingerprint, why="again")
    with registry.begin() as connection:
        first = certificates.revoked_since(connection)[0].revoked_at
        assert certificates.revoke_agent(connection, "shop", "web-01", why="stolen", but=certificate(number=3).fingerprint) == 1
        assert [one.fingerprint for one in certificates.revoked_since(connection, first + timedelta(microseconds=1))] == [
            certificate(number=2).fingerprint
        ]
        assert certificates.get(connection, "no such") is None


def test_a_token_is_used_as_often_as_it_says_and_kept_as_a_hash(registry: Registry) -> None:
    with registry.begin() as connection:
        made, secret = tokens.create(connection, "shop", pool="runners", uses=2, expires_at=NOW + HOUR, by="operator:ana", now=NOW)
    assert registry.write(tokens.use, made.id, secret, now=NOW).uses_left == 1
    assert registry.look(tokens.check, made.id, secret, now=NOW).uses_left == 1
    assert registry.write(tokens.use, made.id, secret, now=NOW).uses_left == 0
    with pytest.raises(RefusedError, match="used up"):
        registry.write(tokens.use, made.id, secret, now=NOW)
    with registry.read() as connection:
        everything = "".join(str(row) for row in connection.exec_driver_sql("SELECT * FROM tokens"))
    assert made.id in everything
    assert secret not in everything


def test_a_token_that_may_not_be_used_says_why_and_an_unknown_one_no_more_than_that(registry: Registry) -> None:
    with registry.begin() as connection:
        made, secret = tokens.create(connection, "shop", agent="web-01", expires_at=NOW + HOUR, by="operator:ana", now=NOW)
        other, _ = tokens.create(connection, "shop", agent="web-02", expires_at=NOW + HOUR, by="operator:ana", now=NOW)
    with pytest.raises(RefusedError) as wrong:
        registry.write(tokens.use, other.id, secret, now=NOW)
    with pytest.raises(RefusedError) as unknown:
        registry.write(tokens.use, "0" * 16, secret, now=NOW)
    assert str(wrong.value) == str(unknown.value)
    with pytest.raises(RefusedError, match="expired"):
        registry.write(tokens.use, made.id, secret, now=NOW + HOUR)
    assert not registry.write(tokens.revoke, "lab", made.id, now=NOW)
    assert registry.write(tokens.revoke, "shop", made.id, now=NOW)
    with pytest.raises(RefusedError, match="revoked"):
        registry.write(tokens.use, made.id, secret, now=NOW)


def test_a_use_that_is_undone_with_its_transaction_leaves_the_token_as_it_was(registry: Registry) -> None:
    with registry.begin() as connection:
        made, secret = tokens.create(connection, "shop", agent="web-01", expires_at=NOW + HOUR, by="operator:ana", now=NOW)
    with registry.begin() as connection:
        tokens.use(connection, made.id, secret, now=NOW)
        connection.rollback()
    assert registry.look(tokens.check, made.id, secret, now=NOW).uses_left == 1


def test_tokens_are_listed_by_tenant_in_pages(registry: Registry) -> None:
    with registry.begin() as connection:
        made = {tokens.create(connection, "shop", agent="a", expires_at=NOW, by="x", now=NOW)[0].id for _ in range(5)}
        tokens.create(connection, "lab", agent="a", expires_at=NOW, by="x", now=NOW)
        first = tokens.listed(connection, "shop", limit=3)
        second = tokens.listed(connection, "shop", after=first.next, limit=3)
    assert [one.id for one in first.items + second.items] == sorted(made)
    assert second.next == ""


def test_who_is_pending_is_counted_and_bounded(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "PENDING_LIMIT", 2)
    said = {"why": "unknown to git", "how": "token:t1", "address": "192.0.2.1", "facts": {"os": "debian\0"}}
    with registry.begin() as connection:
        assert pending.note(connection, "shop", "web-01", now=NOW, **said)  # type: ignore[arg-type]
        assert pending.note(connection, "shop", "web-02", now=NOW, **said)  # type: ignore[arg-type]
        assert not pending.note(connection, "shop", "web-03", now=NOW, **said)  # type: ignore[arg-type]
        assert pending.note(connection, "lab", "web-03", now=NOW, **said)  # type: ignore[arg-type]
        assert pending.note(connection, "shop", "web-01", now=NOW + HOUR, **said)  # type: ignore[arg-type]
        first = pending.listed(connection, "shop", limit=1)
        assert [(one.agent, one.count, one.first_at, one.last_at, one.facts) for one in first.items] == [
            ("web-01", 2, NOW, NOW + HOUR, {"os": "debian\0"})
        ]
        assert [one.agent for one in pending.listed(connection, "shop", after=first.next).items] == ["web-02"]
        assert pending.forget(connection, "shop", "web-01")
        assert not pending.forget(connection, "shop", "web-01")
        assert pending.count(connection, "shop") == 1


def test_the_copy_of_controls_follows_them_in_order_and_tells_who_never_came(registry: Registry) -> None:
    one = inventory.Subject(kind="agent", labels={"role": "web", "region": "eu"}, fleets=["web"])
    pool = inventory.Subject(kind="pool", labels={"role": "runner"})
    _enrol(registry, "web-01")
    with registry.begin() as connection:
        assert inventory.replace(connection, "shop", {"web-01": one, "web-02": one, "runners": pool}, sequence=5)
        assert not inventory.replace(connection, "shop", {}, sequence=5)
        assert inventory.subject(connection, "shop", "web-01") == inventory.Subject(kind="agent", labels=one.labels, fleets=("web",))
        assert [*inventory.absent(connection, "shop").items] == ["web-02"]
        other = inventory.Subject(kind="agent", labels={"role": "db"}, fleets=["db", "base"])
        assert inventory.replace(connection, "shop", {"web-01": other}, sequence=6)
        found = inventory.subject(connection, "shop", "web-01")
        assert found == inventory.Subject(kind="agent", labels={"role": "db"}, fleets=("base", "db"))
        assert inventory.subject(connection, "shop", "web-02") is None
        assert inventory.taken(connection, "shop") == 6
        assert inventory.taken(connection, "lab") == 0
