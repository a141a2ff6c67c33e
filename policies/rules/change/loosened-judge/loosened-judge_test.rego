package ordain.rules.change.loosened_judge_test

import data.ordain.rules.change.loosened_judge

found(loosened) := result if {
	result := {finding.path: finding.message | some finding in loosened_judge.deny} with input as {
		"change": {"judge": {"changed": true, "loosened": loosened}},
	}
}

test_each_is_said if {
	found(["a/b is gone", "a/c is off instead of deny"]) == {
		["judge", "loosened", 0]: "this change loosens the rules: a/b is gone",
		["judge", "loosened", 1]: "this change loosens the rules: a/c is off instead of deny",
	}
}

test_another_change_of_rules_passes if found([]) == {}
