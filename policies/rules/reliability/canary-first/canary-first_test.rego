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
