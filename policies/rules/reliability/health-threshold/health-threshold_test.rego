package ordain.rules.reliability.health_threshold_test

import data.ordain.rules.reliability.health_threshold

found(health) := result if {
	result := {finding.path[3] | some finding in health_threshold.deny} with input as {
		"object": {"spec": {"rollout": {"health": health}}},
		"parameters": {"successThreshold": "80%", "quorum": "20%"},
	}
}

test_low_ones_are_found if {
	found({"successThreshold": "79.9%"}) == {"successThreshold"}
	found({"quorum": "0%", "successThreshold": "95%"}) == {"quorum"}
}

test_others_pass if {
	found({"successThreshold": "80%", "quorum": "20%"}) == set()
	found({"successThreshold": "100%"}) == set()
	found({}) == set()
}
