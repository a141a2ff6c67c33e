package ordain.rules.change.production_hours_test

import data.ordain.rules.change.production_hours

found(now, agents) := result if {
	result := {finding.path: finding.message | some finding in production_hours.deny} with input as {
		"change": {"now": now, "impact": {"agents": agents, "by_label": {"env": {"production": agents}}}},
		"parameters": {
			"production": ["env=production"],
			"days": ["Monday", "Friday"],
			"from": 8,
			"until": 17,
			"timeZone": "Europe/Berlin",
		},
	}
}

# 2026-11-23 is a Monday; Berlin is one hour ahead of UTC then.
test_within_hours_passes if {
	every now in ["2026-11-23T07:00:00Z", "2026-11-23T15:59:59Z", "2026-11-27T12:00:00Z"] {
		found(now, 3) == {}
	}
}

test_other_hours_and_days_are_found if {
	every now in ["2026-11-23T06:59:59Z", "2026-11-23T16:00:00Z", "2026-11-24T12:00:00Z", "2026-11-28T12:00:00Z"] {
		count(found(now, 3)) == 1
	}
}

test_the_message_says_when if {
	found("2026-11-28T12:05:00Z", 3) == {["impact", "agents"]: concat(" ", [
		"this change reaches hosts with env=production (agents hit: 3) on a Saturday at 13:05 CET,",
		"outside of the hours in which that is done",
	])}
}

test_what_reaches_no_production_passes if found("2026-11-28T12:00:00Z", 0) == {}
