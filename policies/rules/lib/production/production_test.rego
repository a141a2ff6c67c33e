package ordain.rules.lib.production_test

import data.ordain.rules.lib.production

parameters := {"production": ["env=production", "critical"]}

test_members_that_carry_a_mark if {
	members := [
		{"name": "a", "labels": {"env": "production"}},
		{"name": "b", "labels": {"env": "test", "critical": "false"}},
		{"name": "c", "labels": {"critical": "true"}},
		{"name": "d", "labels": {}},
	]
	production.members == {"a", "c"} with input as {"members": members, "parameters": parameters}
	production.members == set() with input as {"members": members, "parameters": {"production": []}}
}

test_marks if production.marks == {["env", "production"], ["critical", "true"]} with input as {"parameters": parameters}

test_agents_of_production_that_a_change_reaches if {
	impact := {"by_label": {"env": {"production": 3, "test": 4}, "critical": {"true": 0}}}
	production.hit == {"env=production": 3} with input as {"change": {"impact": impact}, "parameters": parameters}
}
