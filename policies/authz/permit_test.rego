package ordain.permit_test

import data.ordain.permit

yes := {"allow": true, "why": ""}

no := {"allow": false, "why": "ordain says no"}

test_what_a_policy_allows_is_allowed if {
	permit.answer == yes with input as {"about": "roles"} with data.ordain.authz.roles as {"decision": yes}
}

test_what_a_policy_refuses_is_refused_in_its_words if {
	permit.answer == no with input as {"about": "roles"} with data.ordain.authz.roles as {"decision": no}
}

test_a_rule_of_the_repository_refuses_what_was_allowed if {
	answer := permit.answer with input as {"about": "roles"}
		with data.ordain.authz.roles as {"decision": yes}
		with data.ordain.authz.custom as {"night": {"deny": {"not at night"}}, "other": {"deny": {"and not by you"}}}
	answer == {"allow": false, "why": "and not by you; not at night"}
}

test_a_rule_of_the_repository_allows_nothing if {
	permit.answer == no with input as {"about": "roles"}
		with data.ordain.authz.roles as {"decision": no}
		with data.ordain.authz.custom as {"kind": {"deny": set(), "allow": true}}
}

test_there_is_no_answer_about_what_no_policy_decides if {
	not permit.answer with input as {"about": "weather"}
}

test_it_is_ready if permit.ready
