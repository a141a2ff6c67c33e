package ordain.rules.reliability.canary_first_test

import data.ordain.rules.reliability.canary_first

found(spec) := result if {
	result := count(canary_first.deny) with input as {
		"object": {"kind": "Fleet", "spec": spec},
		"parameters": {"limit": "10%"},
	}
}

first(wave) := {"rollout": {"waves": [object.union({"name": "first"}, wave), {"name": "rest", "limit": "100%"}]}}

test_default_waves_pass if {
	found({}) == 0
	found({"rollout": {}}) == 0
}

test_a_small_limit_passes if found(first({"limit": "10%"})) == 0

test_labels_pass if found(first({"matchLabels": {"canary": "true"}})) == 0

test_a_large_first_wave_is_found if {
	found(first({"limit": "10.5%"})) == 1
	found(first({"limit": "100%"})) == 1
	found(first({})) == 1
	found(first({"matchLabels": {}})) == 1
}

test_it_is_found_at_the_wave if {
	paths := {finding.path | some finding in canary_first.deny} with input as {
		"object": {"kind": "Fleet", "spec": first({"limit": "50%"})},
		"parameters": {"limit": "10%"},
	}
	paths == {["spec", "rollout", "waves", 0]}
}
