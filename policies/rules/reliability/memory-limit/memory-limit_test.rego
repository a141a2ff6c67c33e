package ordain.rules.reliability.memory_limit_test

import data.ordain.rules.reliability.memory_limit

found(process) := result if {
	result := {finding.path | some finding in memory_limit.deny} with input as {
		"object": {"spec": {"processes": [object.union({"name": "app"}, process)]}},
	}
}

test_no_limit_is_found if {
	found({}) == {["spec", "processes", 0, "limits", "memory"]}
	found({"limits": {"cpu": "50%"}}) == {["spec", "processes", 0, "limits", "memory"]}
}

test_a_limit_passes if found({"limits": {"memory": "256Mi"}}) == set()

test_containers_are_looked_at if {
	paths := {finding.path | some finding in memory_limit.deny} with input as {"object": {"spec": {"containers": [{"name": "edge"}]}}}
	paths == {["spec", "containers", 0, "limits", "memory"]}
}
