package ordain.rules.reliability.empty_wave_test

import data.ordain.rules.reliability.empty_wave

found(waves, members) := result if {
	result := {finding.message: finding.path | some finding in empty_wave.deny} with input as {
		"fleet": {"spec": {"rollout": {"waves": waves}}},
		"members": [{"name": "x", "labels": labels} | some labels in members],
	}
}

canary := {"name": "canary", "matchLabels": {"canary": "true", "role": "web"}}

rest := {"name": "rest", "limit": "100%"}

message := "wave canary selects no member of the fleet, so each release is held there"

at(index) := ["fleet", "spec", "rollout", "waves", index, "matchLabels"]

test_a_wave_whose_labels_nobody_has_is_found if {
	found([canary, rest], [{"role": "web"}, {"role": "web", "canary": "false"}]) == {message: at(0)}
	found([{"name": "few", "limit": "5%"}, canary, rest], [{"canary": "true"}, {"role": "web"}]) == {message: at(1)}
}

test_one_member_is_enough if found([canary, rest], [{"role": "web"}, {"role": "web", "canary": "true"}]) == {}

test_a_wave_that_has_a_limit_too_goes_on_without_them if {
	found([object.union(canary, {"limit": "5%"}), rest], [{"role": "web"}]) == {}
}

test_waves_by_share_and_of_everybody_pass if {
	found([rest], [{"role": "web"}]) == {}
	found([{"name": "all", "matchLabels": {}}], [{"role": "web"}]) == {}
}

test_a_fleet_without_members_passes if found([canary, rest], []) == {}
