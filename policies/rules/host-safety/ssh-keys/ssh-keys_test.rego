package ordain.rules.host_safety.ssh_keys_test

import data.ordain.rules.host_safety.ssh_keys

found(section, entry) := result if {
	result := {finding.path | some finding in ssh_keys.deny} with input as {
		"object": {"spec": {section: [entry]}},
		"parameters": {"homes": ["/home/deploy"]},
	}
}

test_keys_are_found if {
	every path in [
		"/root/.ssh/authorized_keys",
		"/home/ana/.ssh",
		"/home/ana/.ssh/rc",
		"/home/deploy2/.ssh/authorized_keys",
		"/etc/ssh/authorized_keys.d/ana",
		"/srv/git/authorized_keys",
	] {
		found("files", {"path": path}) == {["spec", "files", 0, "path"]}
	}
	found("artifacts", {"path": "/root/.ssh/authorized_keys"}) == {["spec", "artifacts", 0, "path"]}
	found("hostFiles", {"path": "/root/.ssh/authorized_keys"}) == {["spec", "hostFiles", 0, "path"]}
}

test_accounts_that_were_named_pass if found("files", {"path": "/home/deploy/.ssh/authorized_keys"}) == set()

test_taking_them_away_passes if found("files", {"path": "/root/.ssh/authorized_keys", "absent": true}) == set()

test_other_files_pass if {
	every path in ["/etc/ssh/sshd_config.d/10-a.conf", "/srv/a.ssh/x", "/etc/ssh/ca.pub", "/srv/authorized_keys_of_all"] {
		found("files", {"path": path}) == set()
	}
}
