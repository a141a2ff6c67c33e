package ordain.rules.host_safety.sudoers_test

import data.ordain.rules.host_safety.sudoers

good := {
	"path": "/etc/sudoers.d/deploy",
	"mode": "0440",
	"content": "deploy ALL=(root) NOPASSWD: /bin/systemctl restart app\n",
	"check": ["/usr/sbin/visudo", "-cf", "{staged}"],
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
		"#1000 ALL=(ALL) NOPASSWD: ALL\n",
		"deploy ALL=(#0) NOPASSWD: ALL\n",
		"deploy ALL=(ALL) NOPASSWD : ALL, !/bin/su\n",
		"deploy ALL=(ALL) NOPASSWD: \\\n ALL\n",
		"deploy ALL=(ALL) NOPASSWD: (root) ALL # all\n",
		"deploy ALL=(ALL) PASSWD: /bin/ls, NOPASSWD: ALL\n",
		"deploy ALL=(ALL) NOPASSWD: ${parameters.commands}\n",
		"deploy ALL=(ALL) NOPASSWD: /usr/bin/\n",
		"deploy ALL=(ALL) NOPASSWD: /usr/bin/*\n",
		"deploy ALL=(ALL) NOPASSWD: /bin/bash\n",
		"deploy ALL=(ALL) NOPASSWD: /usr/bin/python3.11 -c *, /bin/ls\n",
		"Cmnd_Alias X = ALL\n",
		"Cmnd_Alias Y = /bin/ls : X = /bin/sh\n",
		"deploy ALL=(ALL) ${parameters.commands}\n",
		"deploy ALL=${parameters.commands}\n",
		"Defaults:deploy !authenticate\n",
		"Defaults exempt_group=deploy\n",
		"@include /opt/x\n",
		"#includedir /opt/x\n",
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

test_what_grants_little_passes if {
	every content in [
		"deploy ALL=(root) PASSWD: ALL\n",
		"deploy ALL=(root) NOPASSWD: /bin/ls, PASSWD: ALL\n",
		"deploy ALL=(root) NOPASSWD: /usr/bin/push, /bin/sh /opt/app/restart, /usr/bin/tool ALL\n",
		"${parameters.user} ALL=(root) NOPASSWD: /bin/systemctl restart ${parameters.unit}\n",
		"Cmnd_Alias X = /bin/ls, /bin/cat\n",
		"Defaults logfile=${parameters.log}\n",
		"Host_Alias X = ${parameters.hosts}\n",
		"Defaults !lecture # !authenticate\n",
	] {
		found(object.union(good, {"content": content})) == set()
	}
}

test_who_owns_it if {
	found(object.union(good, {"owner": "bob"})) == {"owner"}
	found(object.union(good, {"owner": "root"})) == set()
	found(object.union(good, {"owner": "0"})) == set()
}

test_a_directory_of_drop_ins_passes if found({"path": "/etc/sudoers.d/x", "type": "directory"}) == set()

test_what_can_not_be_read_is_found if {
	found({"path": "/etc/sudoers.d", "type": "symlink", "target": "/opt/d"}) == {"path"}
	paths := {finding.path | some finding in sudoers.deny} with input as {"object": {"spec": {"artifacts": [{"path": "/etc/sudoers.d/j"}]}}}
	paths == {["spec", "artifacts", 0, "path"]}
}

test_only_visudo_reading_the_file_counts if {
	every check in [
		["visudo", "-cf", "{staged}"],
		["/opt/visudo", "-cf", "{staged}"],
		["/usr/sbin/visudo", "--version"],
		["/usr/sbin/visudo", "-V", "-cf", "{staged}"],
		["/usr/sbin/visudo", "-cf", "/dev/null"],
		["/usr/sbin/visudo", "-f", "{staged}"],
	] {
		found(object.union(good, {"check": check})) == {"check"}
	}
	every check in [
		["/usr/bin/visudo", "-c", "-f", "{staged}"],
		["/sbin/visudo", "-q", "-sc", "{staged}"],
	] {
		found(object.union(good, {"check": check})) == set()
	}
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
