package ordain.rules.host_safety.privileged_users_test

import data.ordain.rules.host_safety.privileged_users

found(user) := result if {
	result := {finding.path | some finding in privileged_users.deny} with input as {
		"object": {"spec": {"users": [object.union({"name": "app"}, user)]}},
		"parameters": {"groups": ["sudo", "docker"]},
	}
}

test_groups_that_are_as_good_as_root_are_found if {
	found({"groups": ["app", "docker"]}) == {["spec", "users", 0, "groups", 1]}
	found({"group": "sudo"}) == {["spec", "users", 0, "group"]}
}

test_others_pass if {
	found({}) == set()
	found({"group": "app", "groups": ["logs"]}) == set()
}
