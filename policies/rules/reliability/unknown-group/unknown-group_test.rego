package ordain.rules.reliability.unknown_group_test

import data.ordain.rules.reliability.unknown_group

found(limit, members) := result if {
	result := {finding.message: finding.path | some finding in unknown_group.deny} with input as {
		"fleet": {"spec": {"rollout": {"maxUnavailable": limit}}},
		"members": [{"name": "x", "labels": labels} | some labels in members],
	}
}

limit := {"label": "rack", "count": 2}

message := "no member of the fleet has the label rack, so all hosts count as one group"

test_a_label_that_nobody_has_is_found if {
	found(limit, [{"rak": "1"}, {"role": "web"}]) == {message: ["fleet", "spec", "rollout", "maxUnavailable", "label"]}
}

test_one_host_that_has_it_is_enough if found(limit, [{"role": "web"}, {"rack": "1"}]) == {}

test_a_limit_for_all_together_passes if found({"count": 2}, [{"role": "web"}]) == {}

test_a_fleet_without_members_passes if found(limit, []) == {}
