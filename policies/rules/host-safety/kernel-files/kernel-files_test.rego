package ordain.rules.host_safety.kernel_files_test

import data.ordain.rules.host_safety.kernel_files

found(section, path) := result if {
	result := {finding.path | some finding in kernel_files.deny} with input as {
		"object": {"spec": {section: [{"path": path}]}},
		"parameters": {"paths": ["/etc/modules", "/etc/modprobe.d"]},
	}
}

test_what_decides_about_starting_is_found if {
	found("files", "/etc/modules") == {["spec", "files", 0, "path"]}
	found("files", "/etc/modprobe.d/a.conf") == {["spec", "files", 0, "path"]}
	found("artifacts", "/etc/modprobe.d/a.conf") == {["spec", "artifacts", 0, "path"]}
}

test_other_files_pass if {
	every path in ["/etc/modules2", "/etc/modprobe.dx/a", "/etc/app"] {
		found("files", path) == set()
	}
}

test_what_may_hold_such_files_is_found if {
	found("artifacts", "/etc") == {["spec", "artifacts", 0, "path"]}
	found("files", "/etc") == set()
	found("artifacts", "/opt/app") == set()
}
