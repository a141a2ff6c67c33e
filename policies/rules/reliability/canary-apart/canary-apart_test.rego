package ordain.rules.reliability.canary_apart_test

import data.ordain.rules.reliability.canary_apart

found(waves, members) := result if {
	result := {finding.message: finding.path | some finding in canary_apart.deny} with input as {
		"fleet": {"spec": {"rollout": {"waves": waves}}},
		"members": [{"name": "x", "labels": labels} | some labels in members],
	}
}

canary := [{"name": "canary", "matchLabels": {"canary": "true"}}, {"name": "rest", "limit": "100%"}]

at := ["fleet", "spec", "rollout", "waves", 0, "matchLabels"]

message := "no member of the first wave, canary, shares a label with a host that comes after it"

test_canaries_of_another_kind_are_found if {
	found(canary, [{"role": "web", "canary": "true", "env": "lab"}, {"role": "web", "env": "production"}]) == {message: at}
	found(canary, [{"role": "web", "canary": "true"}, {"role": "web", "env": "production"}]) == {message: at}
}

test_one_shared_label_is_enough if {
	found(canary, [{"canary": "true", "region": "eu"}, {"region": "eu"}, {"region": "us"}]) == {}
}

test_hosts_that_are_all_alike_pass if {
	found(canary, [{"role": "web", "canary": "true"}, {"role": "web"}]) == {}
}

test_the_same_label_with_another_value_is_not_shared if {
	found(canary, [{"canary": "true", "region": "eu"}, {"canary": "false", "region": "us"}]) == {message: at}
}

test_labels_that_the_wave_selects_by_count_for_nothing if {
	waves := [{"name": "canary", "matchLabels": {"canary": "true", "region": "eu"}}, {"name": "rest", "limit": "100%"}]
	found(waves, [
		{"canary": "true", "region": "eu", "env": "lab"},
		{"region": "eu", "env": "production"},
		{"region": "us", "env": "production"},
	]) == {message: at}
}

test_waves_that_select_nobody_or_by_share_pass if {
	found(canary, [{"region": "eu"}, {"region": "us"}]) == {}
	found([{"name": "few", "limit": "5%"}], [{"region": "eu"}, {"region": "us"}]) == {}
	found([{"name": "all", "matchLabels": {}}], [{"region": "eu"}, {"region": "us"}]) == {}
}
