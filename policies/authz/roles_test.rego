package ordain.authz.roles_test

import data.ordain.authz.roles

everything := {"actions": [], "tenants": []}

ana := {"names": ["operator:ana"], "groups": ["group:https://id.example.com#sre"], "scope": everything}

question := {
	"operator": ana,
	"action": "agents.read",
	"tenant": "shop",
	"fleets": null,
	"asked_by": "",
	"roles": [],
	"admins": ["local"],
}

role(name, subjects, fleets) := {"name": "r", "role": name, "subjects": subjects, "fleets": fleets, "ended": false}

asked(change) := answer if {
	answer := roles.decision with input as object.union(question, change)
}

with_role(name, action) := asked({"action": action, "fleets": ["web"], "roles": [role(name, ["operator:ana"], [])]})

test_nobody_may_do_anything_by_default if {
	answer := asked({})
	not answer.allow
	answer.why == "no role of operator:ana allows agents.read in tenant shop: it takes any role"
}

test_what_is_not_allowed_says_whom_it_takes if {
	asked({"action": "tokens.create"}).why == "no role of operator:ana allows tokens.create in tenant shop: it takes role admin or tenant-admin"
	asked({"tenant": ""}).why == "no role of operator:ana allows agents.read in any tenant: it takes any role"
	asked({"tenant": "", "action": "rollouts.stop"}).why == "no role of operator:ana allows rollouts.stop for the installation: it takes somebody who runs the installation"
}

test_each_role_may_do_what_it_is_for if {
	allowed := {[name, action] |
		some name, _ in roles.may
		some action in (roles.actions - roles.own)
		not endswith(action, ".approve")
		with_role(name, action).allow
	}
	allowed == {
		["viewer", "agents.read"], ["viewer", "fleets.read"], ["viewer", "pending.read"],
		["operator", "agents.read"], ["operator", "fleets.read"], ["operator", "pending.read"],
		["operator", "agents.quarantine"], ["operator", "agents.revoke"], ["operator", "modes.switch"], ["operator", "reports.carry"],
		["operator", "rollouts.operate"], ["operator", "tasks.run"],
		["approver", "agents.read"], ["approver", "fleets.read"], ["approver", "pending.read"],
		["policy-owner", "agents.read"], ["policy-owner", "fleets.read"], ["policy-owner", "pending.read"],
		["policy-owner", "audit.read"], ["policy-owner", "tokens.read"],
		["tenant-admin", "agents.read"], ["tenant-admin", "fleets.read"], ["tenant-admin", "pending.read"],
		["tenant-admin", "agents.quarantine"], ["tenant-admin", "agents.revoke"], ["tenant-admin", "modes.switch"], ["tenant-admin", "reports.carry"],
		["tenant-admin", "rollouts.operate"], ["tenant-admin", "tasks.run"],
		["tenant-admin", "audit.read"], ["tenant-admin", "tokens.read"],
		["tenant-admin", "agents.decommission"], ["tenant-admin", "tokens.create"], ["tenant-admin", "tokens.revoke"],
		["admin", "agents.read"], ["admin", "fleets.read"], ["admin", "pending.read"],
		["admin", "agents.quarantine"], ["admin", "agents.revoke"], ["admin", "modes.switch"], ["admin", "reports.carry"],
		["admin", "rollouts.operate"], ["admin", "tasks.run"],
		["admin", "audit.read"], ["admin", "tokens.read"],
		["admin", "agents.decommission"], ["admin", "tokens.create"], ["admin", "tokens.revoke"],
	}
}

test_a_role_of_git_is_never_for_the_installation if {
	every action in roles.running {
		not with_role("admin", action).allow
	}
}

test_those_who_run_the_installation_may_act_everywhere if {
	some action in roles.actions
	not endswith(action, ".approve")
	every tenant in ["", "shop"] {
		asked({"action": action, "tenant": tenant, "admins": ["operator:ana"]}).allow
	}
}

test_a_role_that_has_ended_gives_nothing if {
	over := object.union(role("admin", ["operator:ana"], []), {"ended": true})
	not asked({"roles": [over]}).allow
	not asked({"roles": [object.remove(over, ["ended"])]}).allow
}

test_a_group_has_the_roles_that_name_it if {
	asked({"roles": [role("viewer", ["group:https://id.example.com#sre"], [])]}).allow
	not asked({"roles": [role("viewer", ["group:https://other.example.com#sre"], [])]}).allow
}

test_an_action_that_is_not_listed_is_refused_to_everybody if {
	answer := asked({"action": "agents.sell", "admins": ["operator:ana"]})
	not answer.allow
	answer.why == "there is no action agents.sell"
}

test_whoever_has_signed_in_may_see_who_they_are_and_sign_out if {
	scoped := object.union(ana, {"scope": {"actions": ["tokens.create"], "tenants": ["lab"]}})
	every action in roles.own {
		asked({"action": action, "tenant": "", "operator": scoped}).allow
	}
}

only(actions, tenants) := {
	"admins": ["operator:ana"],
	"operator": object.union(ana, {"scope": {"actions": actions, "tenants": tenants}}),
}

test_a_token_may_do_less_than_its_owner if {
	asked(only(["agents.read"], ["shop"])).allow
	asked(only(["agents.*"], [])).allow
	not asked(only(["tokens.*"], [])).allow
	not asked(only(["agents.read"], ["lab"])).allow
	asked(only([], ["lab"])).why == "this token is not for what is done in tenant shop"
	asked(object.union(only([], ["lab"]), {"tenant": ""})).why == "this token is not for what is done for the installation"
}

test_a_scope_gives_nothing if {
	scoped := object.union(ana, {"scope": {"actions": ["agents.read"], "tenants": ["shop"]}})
	not asked({"operator": scoped}).allow
}

for_fleets(action, fleets) := asked({
	"action": action,
	"fleets": fleets,
	"roles": [role("operator", ["operator:ana"], ["web", "db"])],
})

test_a_role_for_some_fleets_sees_what_is_in_one_of_them if {
	for_fleets("agents.read", ["web", "mail"]).allow
	not for_fleets("agents.read", ["mail"]).allow
	not for_fleets("agents.read", []).allow
}

test_a_role_for_some_fleets_changes_what_is_in_no_other if {
	for_fleets("agents.revoke", ["web"]).allow
	for_fleets("agents.revoke", ["db", "web"]).allow
	not for_fleets("agents.revoke", ["web", "mail"]).allow
	not for_fleets("agents.revoke", []).allow
	not for_fleets("agents.revoke", null).allow
}

test_a_list_is_of_the_fleets_of_the_roles if {
	answer := for_fleets("agents.read", null)
	answer == {"allow": true, "why": "", "all": false, "fleets": ["db", "web"]}
	asked({"roles": [role("viewer", ["operator:ana"], [])]}).all
}

approving(by) := asked({
	"action": "rollouts.approve",
	"asked_by": by,
	"roles": [role("admin", ["operator:ana"], [])],
	"admins": ["operator:ana"],
})

test_a_question_that_lacks_something_is_refused if {
	every part in object.keys(question) {
		lacking := object.union(object.remove(question, [part]), {"about": "roles"})
		not roles.decision.allow with input as lacking
	}
	unscoped := object.union(object.remove(question, ["operator"]), {"operator": object.remove(ana, ["scope"]), "admins": ["operator:ana"]})
	not roles.decision.allow with input as unscoped
}

test_who_asked_does_not_approve if {
	approving("operator:ben").allow
	approving("operator:ana").why == "who asked for it can't approve it"
	approving("").why == "it is not known who asked for it, so nobody can approve it"
}
