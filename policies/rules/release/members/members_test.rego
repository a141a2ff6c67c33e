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
