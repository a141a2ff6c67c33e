package ordain.rules.secrets.readable_test

import data.ordain.rules.secrets.readable

found(file) := result if {
	result := {finding.path | some finding in readable.deny} with input as {
		"object": {"spec": {"files": [object.union({"path": "/etc/app/key"}, file)]}},
		"sources": {"files/key": "# a key\nkey = ${secret.key}"},
	}
}

mode := {["spec", "files", 0, "mode"]}

test_a_secret_for_all_is_found if {
	found({"content": "a\nkey = ${secret.key}", "mode": "0604"}) == mode
	found({"content": "$$${secret.key}", "mode": "0644"}) == mode
	found({"source": "files/key", "mode": "0755"}) == mode
}

test_a_secret_for_some_passes if {
	found({"content": "${secret.key}"}) == set()
	every each in ["0600", "0640", "0753"] {
		found({"content": "${secret.key}", "mode": each}) == set()
	}
}

test_no_secret_passes if {
	found({"content": "${parameters.secret}", "mode": "0644"}) == set()
	found({"content": "$${secret.key} is the literal", "mode": "0644"}) == set()
	found({"type": "directory", "mode": "0755"}) == set()
}
