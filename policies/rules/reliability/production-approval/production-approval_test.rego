package ordain.rules.reliability.production_approval_test

import data.ordain.rules.reliability.production_approval

found(spec, env) := result if {
	result := {finding.path | some finding in production_approval.deny} with input as {
		"fleet": {"spec": spec},
		"members": [{"name": "a", "labels": {"env": env}}],
		"parameters": {"production": ["env=production"]},
	}
}

path := ["fleet", "spec", "rollout", "waves"]

test_production_without_approval_is_found if {
	found({}, "production") == {path}
	found({"rollout": {"waves": [{"name": "all"}, {"name": "rest", "approval": "automatic"}]}}, "production") == {path}
}

test_an_approval_passes if {
	found({"rollout": {"waves": [{"name": "few"}, {"name": "rest", "approval": "required"}]}}, "production") == set()
}

test_what_is_no_production_passes if found({}, "test") == set()
