package ordain.rules.reliability.restart_test

import data.ordain.rules.reliability.restart

found(process) := result if {
	result := {finding.path | some finding in restart.deny} with input as {
		"object": {"spec": {"processes": [object.union({"name": "app"}, process)]}},
	}
}

test_never_is_found if found({"restart": "never"}) == {["spec", "processes", 0, "restart"]}

test_others_pass if {
	found({"restart": "always"}) == set()
	found({"restart": "on-failure"}) == set()
	found({}) == set()
}

test_containers_are_looked_at if {
	paths := {finding.path | some finding in restart.deny} with input as {"object": {"spec": {"containers": [{"name": "edge", "restart": "never"}]}}}
	paths == {["spec", "containers", 0, "restart"]}
}
