package ordain.rules.access.raised_quota_test

import data.ordain.rules.access.raised_quota

found(before, now) := result if {
	result := {[finding.path, finding.message] | some finding in raised_quota.deny} with input as {
		"old": {"spec": before},
		"object": {"metadata": {"name": "shop"}, "spec": now},
	}
}

test_a_raised_quota_is_found_at_its_line if {
	found({"quotas": {"agents": 10, "fleets": 5}}, {"quotas": {"agents": 20, "fleets": 5}}) == {[
		["spec", "quotas", "agents"],
		"tenant shop may have more: agents is 20 instead of 10",
	]}
}

test_sizes_are_compared_as_bytes if {
	count(found({"quotas": {"bundleBytes": "9Mi"}}, {"quotas": {"bundleBytes": "10Mi"}})) == 1
	found({"quotas": {"bundleBytes": "1Gi"}}, {"quotas": {"bundleBytes": "1024Mi"}}) == set()
}

test_one_that_is_gone_is_found if {
	found({"quotas": {"agents": 10}}, {}) == {[["spec"], "tenant shop has no bound any more on agents, which was 10"]}
}

test_lowered_and_first_ones_pass if {
	found({"quotas": {"agents": 10}}, {"quotas": {"agents": 5, "fleets": 5}}) == set()
	found({}, {"quotas": {"agents": 5}}) == set()
}

test_a_new_tenant_passes if {
	findings := raised_quota.deny with input as {
		"old": null,
		"object": {"metadata": {"name": "shop"}, "spec": {"quotas": {"agents": 10}}},
	}
	findings == set()
}
