package ordain.rules.host_safety.sudoers_test

import data.ordain.rules.host_safety.sudoers

good := {
	"path": "/etc/sudoers.d/deploy",
	"mode": "0440",
	"content": "deploy ALL=(root) NOPASSWD: /bin/systemctl restart app\n",
	"check": ["visudo", "-cf", "{staged}"],
}

found(file) := result if {
	result := {finding.path[3] | some finding in sudoers.deny} with input as {
		"object": {"kind": "Component", "spec": {"files": [file]}},
		"parameters": {},
	}
}

test_a_careful_drop_in_passes if found(good) == set()

test_everything_without_a_password_is_found if {
	every content in [
		"deploy ALL=(ALL) NOPASSWD: ALL\n",
		"deploy ALL=(ALL) NOPASSWD:ALL",
		"# a comment\n%wheel ALL=(ALL:ALL) NOPASSWD:SETENV: ALL\n",
		"deploy ALL=(ALL) NOPASSWD: /bin/true, ALL\n",
	] {
		found(object.union(good, {"content": content})) == {"content"}
	}
}

test_a_source_file_is_read_too if {
	file := object.union(object.remove(good, ["content"]), {"source": "files/deploy"})
	paths := {finding.path | some finding in sudoers.deny} with input as {
		"object": {"kind": "Component", "spec": {"files": [file]}},
		"sources": {"files/deploy": "# who deploys\ndeploy ALL=(ALL) NOPASSWD: ALL"},
		"parameters": {},
	}
	paths == {["sources", "files/deploy", 1]}
}

test_a_comment_grants_nothing if {
	found(object.union(good, {"content": "# deploy ALL=(ALL) NOPASSWD: ALL\n"})) == set()
}

test_mode_and_check_are_needed if {
	found(object.remove(good, ["mode"])) == {"mode"}
	found(object.union(good, {"mode": "0644"})) == {"mode"}
	found(object.remove(good, ["check"])) == {"check"}
	found(object.union(good, {"check": ["/bin/true"]})) == {"check"}
	found(object.union(good, {"check": ["/usr/sbin/visudo", "-cf", "{staged}"]})) == set()
}

test_taking_one_away_passes if found({"path": "/etc/sudoers.d/deploy", "absent": true}) == set()

test_other_files_pass if found({"path": "/etc/sudoers.d.md", "content": "deploy ALL=(ALL) NOPASSWD: ALL\n"}) == set()
