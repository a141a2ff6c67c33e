package ordain.rules.release.members_lost_test

import data.ordain.rules.release.members_lost

found(old, new) := result if {
	result := {finding.path: finding.message | some finding in members_lost.deny} with input as {
		"old": {"members": [{"name": name} | some name in old]},
		"members": [{"name": name} | some name in new],
		"parameters": {"share": "50%", "least": 4},
	}
}

test_most_members_gone_is_found if {
	found(["a", "b", "c", "d"], ["a", "e"]) == {["fleet", "spec", "selector"]: "3 of 4 members leave this fleet, b among them"}
}

test_half_of_them_passes if found(["a", "b", "c", "d"], ["a", "b"]) == {}

test_small_fleets_pass if found(["a", "b", "c"], []) == {}

test_a_first_release_passes if {
	count(members_lost.deny) == 0 with input as {"old": null, "members": [{"name": "a"}], "parameters": {"share": "50%", "least": 0}}
}
