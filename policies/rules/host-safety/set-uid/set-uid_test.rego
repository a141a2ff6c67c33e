package ordain.rules.host_safety.set_uid_test

import data.ordain.rules.host_safety.set_uid

found(entry) := result if {
	result := count(set_uid.deny) with input as {
		"object": {"kind": "Component", "spec": {"artifacts": [entry]}},
		"parameters": {},
	}
}

test_set_uid_and_set_gid_are_found if {
	every mode in ["4755", "2755", "6755", "7000"] {
		found({"path": "/opt/app", "mode": mode}) == 1
	}
}

test_other_modes_pass if {
	every mode in ["0755", "1777", "0640"] {
		found({"path": "/opt/app", "mode": mode}) == 0
	}
}

test_a_set_gid_directory_passes if {
	found({"path": "/srv/team", "type": "directory", "mode": "2775"}) == 0
	found({"path": "/srv/team", "type": "directory", "mode": "4775"}) == 1
}

test_files_are_looked_at_too if {
	paths := {finding.path | some finding in set_uid.deny} with input as {"object": {"spec": {"files": [{"path": "/a", "mode": "4755"}]}}}
	paths == {["spec", "files", 0, "mode"]}
}
