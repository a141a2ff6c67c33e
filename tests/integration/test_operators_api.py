"""What operators may see and do over `/api/v1`: by role, tenant and fleet, with a row of audit for each change and each refusal."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.enrolment import read_token
from agent.protocol.report import Receipt, SignedReceipt
from reconciler.control.registry import agents, audit, operators, pending, receipts
from reconciler.pipeline.approve import write_controls
from reconciler.publication.ceremony import development_keys
from reconciler.publication.controls import Agent, Controls
from tests.operator_cases import PEOPLE, Site, site

WHY = {"reason": "stolen at the airport"}


pytestmark = pytest.mark.needs("opa")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that all tests look at; each changes what no other looks at."""
    from reconciler.opa.program import find_opa  # noqa: PLC0415 - only where OPA is there, see pytestmark

    with site(tmp_path_factory.mktemp("site"), find_opa(None)) as made:
        yield made


def entries(shared: Site, chain: str = "shop") -> list[audit.Entry]:
    return list(shared.registry.look(audit.listed, chain, limit=1000).items)


def names(found: Any) -> list[str]:
    return [f"{one['tenant']}/{one['agent']}" for one in found.body["agents"]]


def test_who_has_a_role_sees_its_tenants_agents(shared: Site) -> None:
    assert set(names(shared.ask("GET", "/api/v1/agents", who="viewer"))) >= {"shop/db-01", "shop/web-01", "shop/web-02"}
    assert names(shared.ask("GET", "/api/v1/agents", who="lab-admin")) == ["lab/lab-01"]
    everything = names(shared.ask("GET", "/api/v1/agents", who="root"))
    assert everything == sorted(everything)
    assert {"lab/lab-01", "shop/web-01"} <= set(everything)


def test_a_role_for_one_fleet_sees_that_fleet(shared: Site) -> None:
    assert "shop/web-01" in names(shared.ask("GET", "/api/v1/agents", who="web-only"))
    assert "shop/db-01" not in names(shared.ask("GET", "/api/v1/agents", who="web-only"))
    assert shared.ask("GET", "/api/v1/agents/shop/web-01", who="web-only").status == 200
    assert shared.ask("GET", "/api/v1/agents/shop/db-01", who="web-only").status == 403
    assert shared.ask("GET", "/api/v1/agents/shop/no-such", who="web-only").status == 403
    fleets = shared.ask("GET", "/api/v1/fleets", who="web-only").body["fleets"]
    assert [one["fleet"] for one in fleets] == ["web"]


def test_who_has_no_role_sees_nothing(shared: Site) -> None:
    for path in ("/api/v1/agents", "/api/v1/agents/shop/web-01", "/api/v1/fleets", "/api/v1/pending", "/api/v1/operators"):
        found = shared.ask("GET", path, who="nobody")
        assert (found.status, found.body["code"]) == (403, "refused")
    assert shared.ask("GET", "/api/v1/whoami", who="nobody").body["roles"] == []


def test_a_tenant_that_git_never_had_is_told_to_who_runs_the_installation(shared: Site) -> None:
    asked = ("/audit/tenants/shpo", "/audit/tenants/shpo/verify", "/tokens/shpo", "/agents?tenant=shpo", "/pending?tenant=shpo")
    for path in (*asked, "/freezes?tenant=shpo", "/fleets?tenant=shpo"):
        found = shared.ask("GET", f"/api/v1{path}", who="root")
        assert (found.status, found.body["error"]) == (404, "there is no tenant shpo here; did you mean shop?"), path
    frozen = shared.ask("POST", "/api/v1/freezes/tenants/shpo", who="root", body={"seconds": 60, "reason": "a slip of the finger"})
    assert frozen.status == 404
    shared.registry.write(audit.append, "gone", who="system", action="agents.enrol", at=datetime.now(UTC))  # of a tenant that git had once
    assert shared.ask("GET", "/api/v1/audit/tenants/gone", who="root").status == 200
    again = shared.ask("POST", "/api/v1/freezes/tenants/gone", who="root", body={"seconds": 60, "reason": "nothing of it is there"})
    assert (again.status, "tenant gone is not known here" in again.body["error"]) == (404, True)
    assert shared.ask("GET", "/api/v1/freezes", who="root").body["freezes"] == []
    assert shared.ask("GET", "/api/v1/agents?tenant=shpo", who="viewer").status == 403


def test_a_role_ends_when_it_says(shared: Site) -> None:
    assert shared.ask("GET", "/api/v1/agents/shop/web-01", who="helper").status == 200
    assert shared.ask("GET", "/api/v1/agents/shop/web-01", who="former").status == 403
    assert shared.ask("GET", "/api/v1/whoami", who="former").body["roles"] == []


def test_agents_are_found_by_label_fleet_state_and_name(shared: Site) -> None:
    def found(query: str) -> list[str]:
        return names(shared.ask("GET", f"/api/v1/agents?{query}", who="root"))

    assert found("prefix=db-&tenant=shop") == ["shop/db-01"]
    assert found("state=revoked&prefix=web-0") == []
    assert "shop/web-02" in found("tenant=shop&seenBefore=2030-01-01T00:00:00Z")
    assert shared.ask("GET", "/api/v1/agents?state=sold", who="root").body["code"] == "malformed"
    assert shared.ask("GET", "/api/v1/agents?stat=lost", who="root").body["code"] == "malformed"
    assert shared.ask("GET", "/api/v1/agents?limit=0", who="root").body["code"] == "malformed"
    assert shared.ask("GET", "/api/v1/agents?after=x", who="root").body["code"] == "malformed"


def test_hosts_of_pools_that_ended_are_listed_where_a_state_is_asked_for_alone(tmp_path: Path, opa: Path) -> None:
    with site(tmp_path, opa) as apart:
        for name in ("runners/a", "runners/b"):
            apart.enrol("shop", name)
        with apart.registry.begin() as connection:
            for name in ("runners/a", "web-02"):
                agents.set_state(connection, "shop", name, "decommissioned", by="test", reason="its time is over", now=datetime.now(UTC))

        def found(query: str) -> list[str]:
            return names(apart.ask("GET", f"/api/v1/agents?{query}", who="viewer"))

        assert found("") == ["shop/db-01", "shop/runners/b", "shop/web-01", "shop/web-02"]
        assert found("pool=runners") == ["shop/runners/b"]
        assert found("state=decommissioned") == ["shop/runners/a", "shop/web-02"]


def test_pages_lead_through_all_agents_once(shared: Site) -> None:
    seen: list[str] = []
    after = ""
    while True:
        found = shared.ask("GET", f"/api/v1/agents?limit=2&after={after}", who="root")
        seen += names(found)
        after = found.body["next"]
        if not after:
            break
    assert seen == names(shared.ask("GET", "/api/v1/agents", who="root"))


def test_a_revoked_agent_is_held_at_once_and_the_audit_says_who_did_it_and_why(shared: Site) -> None:
    shared.enrol("shop", "web-09")
    assert shared.ask("POST", "/api/v1/agents/shop/web-09/revoke", who="viewer", body=WHY).status == 403
    done = shared.ask("POST", "/api/v1/agents/shop/web-09/revoke", who="operator", body=WHY)
    assert (done.status, done.body) == (200, {"target": "shop/web-09", "state": "revoked"})
    assert shared.console.desk.standing.held(("shop", "web-09")) == "revoked"
    shown = shared.ask("GET", "/api/v1/agents/shop/web-09", who="operator").body
    assert (shown["state"], shown["reason"], shown["stateBy"]) == ("revoked", WHY["reason"], "operator:operator")
    row = next(one for one in entries(shared) if one.target == "shop/web-09" and one.outcome == "done")
    assert (row.who, row.action, row.reason) == ("operator:operator", "agents.revoke", WHY["reason"])
    refused = next(one for one in entries(shared) if one.target == "shop/web-09" and one.outcome == "refused")
    why = "no role of operator:viewer allows agents.revoke in tenant shop: it takes role admin or operator or tenant-admin"
    assert (refused.who, refused.reason) == ("operator:viewer", why)


def test_quarantine_is_released_and_other_moves_back_are_conflicts(shared: Site) -> None:
    shared.enrol("shop", "web-10")
    path = "/api/v1/agents/shop/web-10"
    assert shared.ask("POST", f"{path}/release", who="operator", body=WHY).body["code"] == "conflict"
    assert shared.ask("POST", f"{path}/quarantine", who="operator", body=WHY).body["state"] == "quarantined"
    assert shared.ask("POST", f"{path}/release", who="operator", body=WHY).body["state"] == "enrolled"
    gone = shared.ask("POST", f"{path}/decommission", who="admin", body={**WHY, "leave": "remove"})
    assert gone.body["state"] == "decommissioned"
    assert shared.ask("GET", path, who="admin").body["leave"] == "remove"
    assert shared.ask("POST", f"{path}/quarantine", who="operator", body=WHY).body["code"] == "conflict"


def test_a_change_needs_a_reason_and_is_read_strictly(shared: Site) -> None:
    path = "/api/v1/agents/shop/web-02/revoke"
    for raw in (b'{"reason":" "}', b"{}", b'{"reason":"a","force":1}', b'{"reason":"a","reason":"b"}', b"[]", b"{", b'{"reason":NaN}'):
        assert shared.ask("POST", path, who="operator", raw=raw).body["code"] == "malformed", raw
    assert shared.ask("POST", path, who="operator", raw=b" " * 70_000).status == 413
    assert shared.ask("GET", "/api/v1/agents/shop/web-02", who="operator").body["state"] == "enrolled"


def test_members_of_pools_have_paths_of_their_own(shared: Site) -> None:
    shared.enrol("shop", "runners/7f3a")
    path = "/api/v1/agents/shop/runners/members/7f3a"
    assert shared.ask("GET", path, who="web-only").body["agent"] == "runners/7f3a"
    assert shared.ask("POST", f"{path}/revoke", who="web-only", body=WHY).body["target"] == "shop/runners/7f3a"


def test_an_enrolment_token_carries_the_authority_and_its_secret_is_shown_once(shared: Site) -> None:
    made = shared.ask("POST", "/api/v1/tokens/shop", who="admin", body={"agent": "web-01", "ttl": 3600})
    assert made.status == 201
    token = read_token(made.body["token"])
    assert (token.body.tenant, token.body.authority, token.body.id) == ("shop", shared.zone.fingerprints(), made.body["id"])
    listed = shared.ask("GET", "/api/v1/tokens/shop", who="owner")
    row = next(one for one in listed.body["tokens"] if one["id"] == token.body.id)
    assert (row["agent"], row["usesLeft"], row["createdBy"]) == ("web-01", 1, "operator:admin")
    assert token.secret not in str(listed.body)
    assert token.secret not in str(entries(shared))
    assert shared.ask("DELETE", f"/api/v1/tokens/shop/{token.body.id}", who="admin").body["state"] == "revoked"
    assert shared.ask("DELETE", f"/api/v1/tokens/shop/{token.body.id}", who="admin").status == 404


@pytest.mark.parametrize(
    "body",
    [
        {"ttl": 3600},
        {"agent": "a", "pool": "b", "ttl": 3600},
        {"agent": "A B", "ttl": 3600},
        {"agent": "web-01", "ttl": 0},
        {"agent": "web-01", "ttl": 31 * 86400},
        {"pool": "runners", "ttl": 60, "uses": 0},
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(shared: Site, body: dict[str, Any]) -> None:
    assert shared.ask("POST", "/api/v1/tokens/shop", who="admin", body=body).body["code"] == "malformed"


def test_a_tenant_is_known_as_soon_as_its_controls_are_there(shared: Site) -> None:
    rings = development_keys(shared.directory / "keys", shared.console.desk.store, "fresh")
    wanted = Controls(tenant="fresh", agents={"one": Agent(fleets=[])})
    body = {"agent": "one", "ttl": 60}
    assert shared.ask("POST", "/api/v1/tokens/fresh", who="root", body=body).status == 404
    write_controls(shared.console.desk.store, rings.pipeline.signer("fresh/releases"), wanted, now=datetime.now(UTC))
    assert shared.ask("POST", "/api/v1/tokens/fresh", who="root", body=body).status == 201


def test_a_token_of_another_tenant_is_not_there(shared: Site) -> None:
    made = shared.ask("POST", "/api/v1/tokens/shop", who="admin", body={"agent": "web-01", "ttl": 3600}).body["id"]
    assert shared.ask("DELETE", f"/api/v1/tokens/lab/{made}", who="lab-admin").status == 404
    assert shared.ask("DELETE", f"/api/v1/tokens/shop/{made}", who="lab-admin").status == 403


def test_hosts_that_wait_are_listed_to_who_sees_their_tenant(shared: Site) -> None:
    now = datetime.now(UTC)
    for tenant, agent in (("shop", "web-77"), ("shop", "web-78"), ("lab", "lab-77")):
        shared.registry.write(pending.note, tenant, agent, why="unknown", how="token:t", address="192.0.2.1", facts={}, now=now)

    def waiting(who: str, query: str = "") -> list[str]:
        return [one["agent"] for one in shared.ask("GET", f"/api/v1/pending{query}", who=who).body["pending"]]

    assert waiting("viewer") == ["web-77", "web-78"]
    assert waiting("root") == ["lab-77", "web-77", "web-78"]
    assert waiting("root", "?limit=2&after=lab/lab-77") == ["web-77", "web-78"]
    assert waiting("web-only") == []
    assert shared.ask("GET", "/api/v1/pending?tenant=lab", who="viewer").status == 403


def test_an_operator_without_an_account_gets_a_token_that_may_do_less(shared: Site) -> None:
    assert shared.ask("POST", "/api/v1/operators", who="root", body={"name": "ci", "shown": "the pipeline"}).status == 201
    assert shared.ask("POST", "/api/v1/operators", who="root", body={"name": "ci"}).body["code"] == "conflict"
    wanted = {"subject": "operator:root", "ttl": 60, "scope": {"actions": ["agents.*"], "tenants": ["lab"]}}
    made = shared.ask("POST", "/api/v1/operators/tokens", who="root", body=wanted).body
    assert names(shared.ask("GET", "/api/v1/agents", token=made["token"])) == ["lab/lab-01"]
    narrow = shared.ask("GET", "/api/v1/agents/shop/web-01", token=made["token"])
    assert narrow.body["error"] == "this token is not for what is done in tenant shop"
    assert shared.ask("GET", "/api/v1/fleets", token=made["token"]).status == 403
    assert shared.ask("DELETE", f"/api/v1/operators/tokens/{made['id']}", who="root").status == 200
    assert shared.ask("GET", "/api/v1/agents", token=made["token"]).status == 401


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"subject": "operator:root", "scope": {"actions": ["agents.reed"]}}, "there is no action agents.reed; did you mean agents.read?"),
        ({"subject": "operator:root", "scope": {"actions": ["*"]}}, "there is no action *; there are agents.*, agents.decommission, "),
        ({"subject": "operator:root", "scope": {"tenants": ["shpo"]}}, "there is no tenant shpo here; did you mean shop?"),
        ({"subject": "root"}, "there is no operator root who may ask; did you mean operator:root?"),
        ({"subject": "operator:none"}, "who may ask; add one with `ordain operators add`"),
    ],
)
def test_a_token_that_would_be_for_nothing_is_not_made(shared: Site, asked: dict[str, Any], says: str) -> None:
    found = shared.ask("POST", "/api/v1/operators/tokens", who="root", body={"ttl": 60} | asked)
    assert found.status in (400, 404)
    assert says in found.body["error"]


def test_a_name_that_never_enrolled_is_answered_with_what_git_knows(shared: Site) -> None:
    def said(name: str, who: str = "root") -> str:
        return str(shared.ask("GET", f"/api/v1/agents/shop/{name}", who=who).body["error"])

    assert said("runners").endswith("; it is a pool, whose hosts are shop/runners/ID")
    assert said("wbe-01").endswith("; did you mean shop/web-01?")
    assert said("nobody") == "no agent shop/nobody ever enrolled"
    moved = shared.ask("POST", "/api/v1/agents/shop/wbe-01/revoke", who="root", body=WHY)
    assert (moved.status, moved.body["error"]) == (404, said("wbe-01"))
    assert "inner hyphens" in shared.ask("POST", "/api/v1/tokens/shop", who="root", body={"agent": "Web_1", "ttl": 60}).body["error"]


def test_a_removed_operator_is_refused_at_the_next_request(shared: Site) -> None:
    shared.ask("POST", "/api/v1/operators", who="root", body={"name": "leaver"})
    made = shared.ask("POST", "/api/v1/operators/tokens", who="root", body={"subject": "operator:leaver", "ttl": 60}).body
    assert shared.ask("GET", "/api/v1/whoami", token=made["token"]).body["subject"] == "operator:leaver"
    gone = {"subject": "operator:leaver", "reason": "left the company"}
    assert shared.ask("POST", "/api/v1/operators/remove", who="root", body=gone).status == 200
    assert shared.ask("GET", "/api/v1/whoami", token=made["token"]).body["code"] == "unauthenticated"
    assert shared.ask("POST", "/api/v1/operators", who="root", body={"name": "leaver"}).body["code"] == "conflict"


def test_only_who_runs_the_installation_makes_operators(shared: Site) -> None:
    for who in set(PEOPLE) - {"root"}:
        assert shared.ask("POST", "/api/v1/operators", who=who, body={"name": "mallory"}).status == 403
        assert shared.ask("POST", "/api/v1/operators/tokens", who=who, body={"subject": f"operator:{who}", "ttl": 60}).status == 403


def test_an_expired_operator_is_refused_counted_and_audited(shared: Site) -> None:
    token = shared.token_of("late", ttl=timedelta(seconds=-1))
    before = shared.console.admission.refused["agents.read", "unauthenticated"]
    found = shared.ask("GET", "/api/v1/agents", token=token)
    assert (found.status, found.body["code"]) == (401, "unauthenticated")
    assert "expired" in found.body["error"]
    assert shared.console.admission.refused["agents.read", "unauthenticated"] == before + 1
    row = next(one for one in entries(shared, "") if one.outcome == "refused" and one.who == f"token:{token.split('.')[1]}")
    assert (row.action, "expired" in row.reason) == ("agents.read", True)


def test_refusals_of_one_kind_are_one_row_of_audit_in_a_minute(shared: Site) -> None:
    for _ in range(20):
        shared.ask("POST", "/api/v1/agents/lab/lab-01/revoke", who="web-only", body=WHY)
    assert len([one for one in entries(shared, "lab") if one.who == "operator:web-only"]) == 1


@pytest.mark.parametrize("path", ["agents", "pending", "fleets", "rollouts", "modes", "freezes"])
def test_a_list_of_another_tenant_is_refused_counted_and_audited_as_all_else(shared: Site, path: str) -> None:
    action = f"{path}.read" if path in {"agents", "pending"} else "fleets.read"
    refused = shared.console.admission.refused
    before = refused[action, "denied"]
    found = shared.ask("GET", f"/api/v1/{path}?tenant=shop", who="lab-admin")
    says = f"no role of operator:lab-admin allows {action} in tenant shop: it takes any role"
    assert (found.status, found.body["code"], found.body["error"]) == (403, "refused", says)
    assert refused[action, "denied"] == before + 1
    row = next(one for one in entries(shared) if one.who == "operator:lab-admin" and one.action == action)
    assert (row.outcome, row.target, row.reason) == ("refused", "shop", says)
    unknown = shared.ask("GET", f"/api/v1/{path}?tenant=no-such", who="lab-admin")
    assert (unknown.status, unknown.body["error"].replace("no-such", "shop")) == (403, says), "both look alike"
    assert shared.ask("GET", f"/api/v1/{path}?tenant=..", who="lab-admin").status == 404
    assert shared.ask("GET", f"/api/v1/{path}?tenant=lab", who="lab-admin").status == 200
    assert shared.ask("GET", f"/api/v1/{path}?tenant=", who="nobody").status == 403


def test_hosts_that_wait_are_in_no_fleet_and_so_for_no_role_of_some(shared: Site) -> None:
    found = shared.ask("GET", "/api/v1/pending?tenant=shop", who="web-only")
    assert (found.status, "for some fleets only" in found.body["error"]) == (403, True)
    assert any(one.who == "operator:web-only" and one.action == "pending.read" for one in entries(shared))


def test_what_is_no_token_is_refused_in_the_same_words_as_one_that_is_not_known(shared: Site) -> None:
    id_, secret = shared.token_of("viewer").split(".")[1:]
    other = ("A" if secret[0] != "A" else "B") + secret[1:]
    wrong = shared.ask("GET", "/api/v1/agents", token=f"ordainop1.{id_}.{other}")
    unknown = shared.ask("GET", "/api/v1/agents", token=f"ordainop1.{'0' * 16}.{secret}")
    assert (wrong.status, wrong.body["error"]) == (unknown.status, unknown.body["error"])
    for token in ("x", "ordainop1.a", f"ordain1.{id_}.{secret}", f"ordainop1.local.{secret}"):
        assert shared.ask("GET", "/api/v1/agents", token=token).status == 401
    assert shared.ask("GET", "/api/v1/agents").status == 401


def test_who_sends_bad_tokens_over_and_over_waits(tmp_path: Path, opa: Path) -> None:
    with site(tmp_path, opa) as apart:
        answers = [apart.ask("GET", "/api/v1/agents", token="ordainop1.x.y")]
        while answers[-1].status == 401 and len(answers) < 1000:  # as many as go on while the first are forgotten, on a slow machine
            answers.append(apart.ask("GET", "/api/v1/agents", token="ordainop1.x.y"))
        assert {one.status for one in answers} == {401, 429}
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert apart.ask("GET", "/api/v1/whoami", who="viewer").status == 200


def test_a_chain_of_the_audit_is_shown_and_proved_to_whom_it_is_for(shared: Site) -> None:
    for _ in range(2):
        assert shared.ask("POST", "/api/v1/tokens/shop", who="admin", body={"agent": "web-01", "ttl": 3600}).status == 201
    found = shared.ask("GET", "/api/v1/audit/tenants/shop", who="owner").body["entries"]
    assert [one["number"] for one in found] == sorted((one["number"] for one in found), reverse=True)
    assert len(found) >= 2  # of these tests' order nothing is known
    verified = shared.ask("GET", "/api/v1/audit/tenants/shop/verify", who="owner").body
    assert (verified["holds"], verified["last"]) == (True, found[0]["hash"])
    assert shared.ask("GET", "/api/v1/audit/installation/verify", who="root").body["holds"] is True
    assert shared.ask("GET", "/api/v1/audit/installation", who="admin").status == 403
    assert shared.ask("GET", "/api/v1/audit/tenants/lab", who="owner").status == 403


def test_the_local_token_runs_the_installation_and_one_of_another_start_does_not(shared: Site) -> None:
    token = (shared.state / "local-token").read_text().strip()
    assert (shared.state / "local-token").stat().st_mode & 0o777 == 0o600
    found = shared.ask("GET", "/api/v1/whoami", token=token).body
    assert (found["subject"], found["kind"], found["admin"]) == ("local", "local", True)
    assert shared.ask("DELETE", "/api/v1/sessions/own", token=token).body["code"] == "conflict"
    assert shared.ask("GET", "/api/v1/operators", token=token[:-1] + ("A" if token[-1] != "A" else "B")).status == 401


def test_signing_out_ends_the_token_that_asks(shared: Site) -> None:
    token = shared.token_of("leaving")
    assert shared.ask("DELETE", "/api/v1/sessions/own", token=token).status == 200
    assert shared.ask("GET", "/api/v1/whoami", token=token).status == 401


def test_nothing_is_allowed_where_opa_does_not_answer(tmp_path: Path, opa: Path) -> None:
    broken = tmp_path / "opa"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    del opa
    with site(tmp_path / "site", broken) as apart:
        for who in ("root", "viewer"):
            found = apart.ask("GET", "/api/v1/agents", who=who)
            assert (found.status, found.body["code"]) == (503, "unavailable")
        assert apart.authz.counts["roles", "allowed"] == 0
        assert apart.authz.counts["roles", "failed"] > 0


def test_who_is_removed_while_signed_in_elsewhere_is_out_everywhere(shared: Site) -> None:
    one, other = shared.token_of("twice"), shared.token_of("twice", actions=["agents.read"])
    with shared.registry.begin() as connection:
        operators.disable(connection, "operator:twice", why="left", now=datetime.now(UTC))
    assert {shared.ask("GET", "/api/v1/whoami", token=token).status for token in (one, other)} == {401}


def test_receipts_of_a_host_are_shown_newest_first_and_of_the_fleets_that_one_may_see(shared: Site) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    for number, fleet in enumerate(("web", "web", "base")):
        said = Receipt(
            format=1,
            fleet=f"shop/{fleet}",
            agent="web-01",
            digest=f"{number}" * 64,
            members=1,
            group="g-0",
            mode=None,
            attempt=0,
            serial=number,
            generation=number,
            result="applied",
            why="",
            at="2026-11-23T08:00:00Z",
        )
        kept = SignedReceipt(receipt=said, certificate="ab" * 32, signature="c2ln")
        shared.registry.write(receipts.append, [receipts.Receipt(tenant="shop", agent="web-01", fleet=fleet, signed=kept, received_at=now)])
    found = shared.ask("GET", "/api/v1/agents/shop/web-01/receipts", who="viewer").body
    assert [(one["fleet"], one["serial"]) for one in found["receipts"]] == [("base", 2), ("web", 1), ("web", 0)]
    assert found["receipts"][0]["certificate"] == "ab" * 32
    narrow = shared.ask("GET", "/api/v1/agents/shop/web-01/receipts", who="web-only").body["receipts"]
    assert {one["fleet"] for one in narrow} == {"web"}
    one = shared.ask("GET", f"/api/v1/agents/shop/web-01/receipts?fleet=web&digest={'0' * 64}", who="viewer").body["receipts"]
    assert [each["serial"] for each in one] == [0]
    assert shared.ask("GET", "/api/v1/agents/shop/web-01/receipts", who="lab-admin").status == 403
