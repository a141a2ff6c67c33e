package ordain.rules.host_safety.actions_test

import data.ordain.rules.host_safety.actions

found(run) := result if {
	result := {finding.path | some finding in actions.deny} with input as {
		"object": {"spec": {"actions": [{"name": "a", "run": run}]}},
		"parameters": {"allow": ["/usr/sbin/update-ca-certificates", "/usr/bin/systemctl daemon-reload"]},
	}
}

test_what_nobody_allowed_is_found if {
	every run in [["/bin/sh", "-c", "x"], ["/usr/bin/systemctl"], ["/usr/bin/systemctl", "stop", "a"], ["/usr/sbin/update-ca-certificates2"]] {
		found(run) == {["spec", "actions", 0, "run"]}
	}
}

test_what_is_allowed_passes if {
	every run in [["/usr/sbin/update-ca-certificates"], ["/usr/sbin/update-ca-certificates", "--fresh"], ["/usr/bin/systemctl", "daemon-reload"]] {
		found(run) == set()
	}
}
