package ordain.rules.reliability.hasty_probe_test

import data.ordain.rules.reliability.hasty_probe

found(probe) := result if {
	result := {finding.path | some finding in hasty_probe.deny} with input as {
		"object": {"spec": {"probes": [object.union({"name": "ready"}, probe)]}},
		"parameters": {"failures": 2},
	}
}

test_one_failure_is_found if {
	found({"failures": 1}) == {["spec", "probes", 0, "failures"]}
	every grace in ["0s", "0m", "0h", "0d"] {
		found({"failures": 1, "grace": grace}) == {["spec", "probes", 0, "failures"]}
	}
}

test_patience_passes if {
	found({"failures": 2}) == set()
	found({"failures": 1, "grace": "10s"}) == set()
	found({}) == set()
}
