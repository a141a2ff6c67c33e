package ordain.rules.change.rules_apart_test

import data.ordain.rules.change.rules_apart

found(before, changed, agents) := result if {
	result := {finding.path: finding.message | some finding in rules_apart.deny} with input as {
		"change": {"from": before, "judge": {"changed": changed, "loosened": []}, "impact": {"agents": agents}},
	}
}

test_both_at_once_are_found if found("1f", true, 1) == {["judge", "changed"]: "this change alters the rules, and what runs on hosts (agents hit: 1)"}

test_either_alone_passes if {
	found("1f", false, 1) == {}
	found("1f", true, 0) == {}
}

test_a_first_import_passes if found(null, true, 1) == {}
