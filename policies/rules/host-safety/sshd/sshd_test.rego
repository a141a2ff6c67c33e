package ordain.rules.host_safety.sshd_test

import data.ordain.rules.host_safety.sshd

found(path, text) := result if {
	result := {finding.message | some finding in sshd.deny} with input as {
		"object": {"spec": {"files": [{"path": path, "content": text}]}},
		"parameters": {"refused": ["permitrootlogin=yes", "strictmodes=no"]},
	}
}

file := "/etc/ssh/sshd_config.d/10-acme.conf"

test_unsafe_values_are_found if {
	every text in [
		"PermitRootLogin yes",
		"  permitrootlogin = yes # for now",
		"PermitRootLogin \"yes\"",
		"Match User deploy\n\tPermitRootLogin yes\n",
		"PERMITROOTLOGIN=YES",
	] {
		found(file, text) == {sprintf("%s sets permitrootlogin to yes", [file])}
	}
	count(found(file, "StrictModes ${parameters.strict}")) == 1
	count(found("/etc/ssh/sshd_config", "StrictModes no")) == 1
}

test_safe_values_pass if {
	every text in [
		"PermitRootLogin no",
		"PermitRootLogin prohibit-password",
		"# PermitRootLogin yes",
		"StrictModes yes",
		"AllowGroups ${parameters.group}",
		"PermitRootLogin",
	] {
		found(file, text) == set()
	}
}

test_other_files_pass if {
	found("/etc/ssh/ssh_config", "PermitRootLogin yes") == set()
	found("/etc/ssh/sshd_config.dx", "PermitRootLogin yes") == set()
}

test_sources_are_read if {
	paths := {finding.path | some finding in sshd.deny} with input as {
		"object": {"spec": {"files": [{"path": file, "source": "files/a"}]}},
		"parameters": {"refused": ["permitrootlogin=yes"]},
		"sources": {"files/a": "Port 22\nPermitRootLogin yes"},
	}
	paths == {["sources", "files/a", 1]}
}
