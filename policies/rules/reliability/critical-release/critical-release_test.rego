package ordain.rules.reliability.critical_release_test

import data.ordain.rules.reliability.critical_release

found(rollout, fleets) := result if {
	result := {[finding.path, finding.message] | some finding in critical_release.deny} with input as {
		"object": {"metadata": {"name": "web", "tenant": "shop"}, "spec": {"rollout": rollout}},
		"parameters": {"fleets": fleets},
	}
}

mark := {"critical": {"reason": "CVE-2026-1", "until": "2026-12-01T00:00:00Z"}}

message := "releases of shop/web are marked critical, which passes freezes, and it is not among those that may"

test_a_mark_is_found if {
	found(mark, []) == {[["spec", "rollout", "critical"], message]}
	found(mark, ["shop/db", "lab/web", "web"]) == {[["spec", "rollout", "critical"], message]}
}

test_a_fleet_that_may_passes if found(mark, ["shop/web"]) == set()

test_a_fleet_without_the_mark_passes if found({"waves": []}, []) == set()
