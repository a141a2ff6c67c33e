package ordain.rules.reliability.soak_test

import data.ordain.rules.reliability.soak

found(waves) := result if {
	result := {finding.path[3] | some finding in soak.deny} with input as {
		"object": {"kind": "Fleet", "spec": {"rollout": {"waves": waves}}},
		"parameters": {"minimum": "5m"},
	}
}

test_short_soaks_are_found_but_for_the_last_wave if {
	found([{"name": "a", "soak": "30s"}, {"name": "b", "soak": "4m"}, {"name": "c", "soak": "0s"}]) == {0, 1}
}

test_units_are_understood if {
	found([{"name": "a", "soak": "300s"}, {"name": "b", "soak": "1h"}, {"name": "c", "soak": "1d"}, {"name": "d"}]) == set()
}

test_the_default_soak_passes if found([{"name": "a"}, {"name": "b"}]) == set()
