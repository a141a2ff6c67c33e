package ordain.rules.reliability.production_windows_test

import data.ordain.rules.reliability.production_windows

found(spec, env) := result if {
	result := {finding.path | some finding in production_windows.deny} with input as {
		"fleet": {"spec": spec},
		"members": [{"name": "a", "labels": {"env": env}}],
		"parameters": {"production": ["env=production"]},
	}
}

path := ["fleet", "spec", "rollout", "windows"]

test_production_at_any_time_is_found if {
	found({}, "production") == {path}
	found({"rollout": {"windows": []}}, "production") == {path}
}

test_a_window_passes if found({"rollout": {"windows": [{"cron": "0 8 * * 1-5", "duration": "9h"}]}}, "production") == set()

test_what_is_no_production_passes if found({}, "test") == set()
