package ordain.rules.host_safety.root_processes_test

import data.ordain.rules.host_safety.root_processes

found(process) := result if {
	result := {finding.path | some finding in root_processes.deny} with input as {
		"object": {"spec": {"processes": [object.union({"name": "app"}, process)]}},
		"parameters": {"allowed": ["exporter"]},
	}
}

test_root_is_found if {
	every process in [{}, {"user": "root"}, {"user": "0"}] {
		found(process) == {["spec", "processes", 0, "user"]}
	}
}

test_another_account_passes if found({"user": "app"}) == set()

test_what_was_named_passes if found({"name": "exporter"}) == set()
