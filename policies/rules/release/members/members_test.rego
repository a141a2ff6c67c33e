package ordain.rules.release.members_test

import data.ordain.rules.release.members

found(list) := result if {
	result := count(members.deny) with input as {
		"fleet": {"metadata": {"name": "web"}},
		"members": list,
		"parameters": {},
	}
}

test_a_fleet_without_members_is_found if found([]) == 1

test_a_pool_is_a_member if found([{"name": "runners", "labels": {}, "group": "all", "pool": true}]) == 0

test_it_is_found_at_the_selector if {
	paths := {finding.path | some finding in members.deny} with input as {"fleet": {"metadata": {"name": "web"}}, "members": []}
	paths == {["fleet", "spec", "selector"]}
}
