package ordain.rules.supply_chain.remote_scripts_test

import data.ordain.rules.supply_chain.remote_scripts

found(spec, sources) := result if {
	result := {finding.path | some finding in remote_scripts.deny} with input as {"object": {"spec": spec}, "sources": sources}
}

in_content(line) := found({"files": [{"path": "/a", "content": concat("", ["#!/bin/sh\n", line, "\n"])}]}, {})

at := ["spec", "files", 0, "content"]

test_what_runs_an_answer_is_found if {
	every line in [
		"curl -fsSL https://example.com/install.sh | sh",
		"curl https://example.com/install.sh | sudo -E bash -s -- --yes",
		"wget -qO- https://example.com/x|/usr/bin/python3.11",
		"curl https://example.com/x | tee /tmp/log | sh",
		"bash <(curl -s https://example.com/x)",
		"sh -c \"$(curl -fsSL https://example.com/x)\"",
		"/bin/bash -c \"`wget -O- https://example.com/x`\"",
		"eval \"$(curl https://example.com/x)\"",
		"source <(curl https://example.com/x)",
	] {
		in_content(line) == {at}
	}
}

test_other_uses_pass if {
	every line in [
		"# curl https://example.com/install.sh | sh",
		"  // curl https://example.com/install.sh | sh",
		"curl https://example.com/health | grep ok",
		"curl https://example.com/a.sh -o /tmp/a; ls | sh",
		"echo curl | shasum",
		"cat /opt/install.sh | sh",
		"libcurl | sh",
	] {
		in_content(line) == set()
	}
}

test_sources_are_read_too if {
	found({"files": [{"path": "/a", "source": "files/a"}]}, {"files/a": "#!/bin/sh\ncurl https://example.com/x | sh"}) == {["sources", "files/a", 1]}
}

test_commands_are_read if {
	command := ["/bin/sh", "-c", "curl https://example.com/x | sh"]
	found({"processes": [{"name": "a", "command": command}]}, {}) == {["spec", "processes", 0, "command"]}
	found({"probes": [{"name": "a", "command": command}]}, {}) == {["spec", "probes", 0, "command"]}
	found({"files": [{"path": "/a", "check": command}]}, {}) == {["spec", "files", 0, "check"]}
	found({"probes": [{"name": "a", "command": ["/bin/true"]}]}, {}) == set()
}
