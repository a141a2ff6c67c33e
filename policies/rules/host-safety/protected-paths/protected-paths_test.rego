package ordain.rules.host_safety.protected_paths_test

import data.ordain.rules.host_safety.protected_paths

parameters := {"files": ["/etc/passwd"], "directories": ["/boot", "/usr/lib"]}

found(section, entry) := result if {
	result := {finding.path | some finding in protected_paths.deny} with input as {
		"object": {"kind": "Component", "spec": {section: [entry]}},
		"parameters": parameters,
	}
}

test_protected_paths_are_found if {
	every path in ["/etc/passwd", "/boot", "/boot/grub/grub.cfg"] {
		found("files", {"path": path}) == {["spec", "files", 0, "path"]}
	}
}

test_an_artifact_may_not_land_there_either if {
	found("artifacts", {"name": "a", "path": "/boot/vmlinuz"}) == {["spec", "artifacts", 0, "path"]}
}

test_neighbours_pass if {
	every path in ["/etc/passwd.d", "/etc/passwd-example", "/bootstrap/x", "/etc/app/boot"] {
		found("files", {"path": path}) == set()
	}
}

test_taking_away_what_holds_a_protected_path_is_found if {
	every entry in [{"path": "/usr", "absent": true}, {"path": "/etc", "type": "symlink", "target": "/tmp"}] {
		found("files", entry) == {["spec", "files", 0, "path"]}
	}
}

test_making_a_directory_above_passes if {
	found("files", {"path": "/usr", "type": "directory"}) == set()
}

test_an_artifact_takes_the_place_of_what_is_there if {
	found("artifacts", {"name": "a", "path": "/etc"}) == {["spec", "artifacts", 0, "path"]}
}

test_what_holds_nothing_protected_may_go if {
	found("files", {"path": "/etc/app", "absent": true}) == set()
}

test_the_message_names_what_is_held if {
	messages := {finding.message | some finding in protected_paths.deny} with input as {
		"object": {"spec": {"files": [{"path": "/usr", "absent": true}]}},
		"parameters": parameters,
	}
	messages == {"/usr holds /usr/lib, and would take its place"}
}

test_who_may_change_a_directory_above_is_not_a_fleets if {
	every change in [{"mode": "0700"}, {"owner": "bob"}, {"group": "bob"}] {
		found("files", object.union({"path": "/usr", "type": "directory"}, change)) == {["spec", "files", 0, "path"]}
		found("files", object.union({"path": "/srv", "type": "directory"}, change)) == set()
		found("files", object.union({"path": "/usr", "type": "file"}, change)) == set()
	}
	found("files", {"path": "/usr", "type": "directory", "mode": "0755", "owner": "root", "group": "0"}) == set()
	found("files", {"path": "/usr", "type": "directory", "owner": "0", "group": "root"}) == set()
}
