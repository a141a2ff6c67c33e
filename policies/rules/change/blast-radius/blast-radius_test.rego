package ordain.rules.change.blast_radius_test

import data.ordain.rules.change.blast_radius

found(agents, total) := result if {
	result := count(blast_radius.deny) with input as {
		"change": {"impact": {"agents": agents, "total": total, "by_label": {}}},
		"parameters": {"share": "50%", "least": 20},
	}
}

test_half_passes_and_more_is_found if {
	found(50, 100) == 0
	found(51, 100) == 1
}

test_small_estates_pass if {
	found(19, 19) == 0
	found(20, 20) == 1
}

test_no_agents_pass if found(0, 0) == 0

test_it_is_found_at_the_agents if {
	paths := {finding.path | some finding in blast_radius.deny} with input as {
		"change": {"impact": {"agents": 9, "total": 10}},
		"parameters": {"share": "50%", "least": 1},
	}
	paths == {["impact", "agents"]}
}
