package ordain.rules.reliability.canary_mix_test

import data.ordain.rules.reliability.canary_mix

members := [
	{"name": "a", "labels": {"region": "eu", "canary": "true"}},
	{"name": "b", "labels": {"region": "eu", "arch": "arm64"}},
	{"name": "c", "labels": {"region": "us"}},
]

found(waves, everyone, labels) := result if {
	result := {finding.message: finding.path | some finding in canary_mix.deny} with input as {
		"fleet": {"spec": {"rollout": {"waves": waves}}},
		"members": everyone,
		"parameters": {"labels": labels},
	}
}

canary := [{"name": "canary", "matchLabels": {"canary": "true"}}, {"name": "rest", "limit": "100%"}]

at := ["fleet", "spec", "rollout", "waves", 0, "matchLabels"]

test_a_kind_without_a_canary_is_found if {
	found(canary, members, ["region"]) == {"no member of the first wave, canary, has region us": at}
	found(canary, members, ["region", "arch"]) == {
		"no member of the first wave, canary, has region us": at,
		"no member of the first wave, canary, has arch arm64": at,
	}
}

test_a_canary_of_each_kind_passes if {
	more := array.concat(members, [{"name": "d", "labels": {"region": "us", "canary": "true"}}])
	found(canary, more, ["region"]) == {}
}

test_a_label_that_nobody_has_passes if found(canary, members, ["zone"]) == {}

test_it_is_off_until_labels_are_set if found(canary, members, []) == {}

test_waves_by_share_pass if {
	found([{"name": "few", "limit": "5%"}], members, ["region"]) == {}
	found([{"name": "few", "matchLabels": {}}], members, ["region"]) == {}
}
