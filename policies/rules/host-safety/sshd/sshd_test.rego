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
		"PermitRootLogin 'yes'",
		"\"PermitRootLogin\" yes",
		"PermitRootLogin y\"es\"",
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

test_what_is_taken_from_elsewhere_is_found if {
	found(file, "Include /opt/x.conf") == {sprintf("%s includes /opt/x.conf, which nobody judged", [file])}
	found(file, "Include /etc/ssh/sshd_config.d/*.conf sshd_config.d/x/../y") != set()
	found(file, "AuthorizedKeysFile .ssh/authorized_keys /opt/k/%u") == {sprintf("%s takes keys that let people in from .ssh/authorized_keys /opt/k/%%u", [file])}
	every line in ["${parameters.line}", "Permit${parameters.line}Login yes"] {
		found(file, line) == {sprintf("%s takes a keyword from a reference, which may turn out to be any", [file])}
	}
	every text in ["Include /etc/ssh/sshd_config.d/*.conf", "AuthorizedKeysFile %h/.ssh/authorized_keys .ssh/authorized_keys2", "AuthorizedKeysFile none"] {
		found(file, text) == set()
	}
}

test_what_can_not_be_read_is_found if {
	every path in ["/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/a.conf", "/etc/ssh/sshd_config.d"] {
		paths := {finding.path | some finding in sshd.deny} with input as {"object": {"spec": {"artifacts": [{"path": path}]}}}
		paths == {["spec", "artifacts", 0, "path"]}
	}
}
