package ordain.rules.host_safety.world_writable_test

import data.ordain.rules.host_safety.world_writable

found(entry) := result if {
	result := count(world_writable.deny) with input as {
		"object": {"kind": "Component", "spec": {"files": [entry]}},
		"parameters": {},
	}
}

test_others_may_not_write if {
	every mode in ["0666", "0777", "0002", "0643"] {
		found({"path": "/etc/app", "mode": mode}) == 1
	}
}

test_other_modes_pass if {
	every mode in ["0644", "0775", "0600", "0751", "4755"] {
		found({"path": "/etc/app", "mode": mode}) == 0
	}
}

test_no_mode_passes if found({"path": "/etc/app"}) == 0

test_a_sticky_directory_passes if {
	found({"path": "/srv/drop", "type": "directory", "mode": "1777"}) == 0
	found({"path": "/srv/drop", "type": "directory", "mode": "0777"}) == 1
	found({"path": "/srv/drop", "mode": "1777"}) == 1
}

test_artifacts_are_looked_at_too if {
	paths := {finding.path | some finding in world_writable.deny} with input as {"object": {"spec": {"artifacts": [{"path": "/a", "mode": "0757"}]}}}
	paths == {["spec", "artifacts", 0, "mode"]}
}

test_a_symlink_passes if found({"path": "/opt/app", "type": "symlink", "mode": "0777"}) == 0
