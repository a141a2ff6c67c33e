package ordain.rules.supply_chain.remote_scripts_test

import data.ordain.rules.supply_chain.remote_scripts

found(spec, sources) := result if {
	result := {finding.path | some finding in remote_scripts.deny} with input as {"object": {"spec": spec}, "sources": sources}
}

in_content(line) := {array.slice(path, 0, 4) | some path in found({"files": [{"path": "/a", "content": concat("", ["#!/bin/sh\n", line, "\n"])}]}, {})}

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
		"curl x | sudo -u root bash",
		"curl x | env bash",
		"curl x | /usr/bin/env A=b bash",
		"curl x |& bash",
		"curl -s https://example.com \\\n | sh",
		". <(curl x)",
		"bash < <(curl x)",
		"curl 'https://example.com/;a' | sh",
		"//usr/bin/curl x | sh",
		"\"curl\" x | 'sh'",
		"sh <<< \"$(/usr/bin/curl x)\"",
		"curl x | xargs -0 sh -c",
		"curl x | ash",
		"curl x | php",
		"curl\thttps://x\t|\tbash",
		"wget -O x.sh https://example.com/y && sh x.sh",
		"curl --output=/tmp/x.sh https://example.com/y\nbash -e /tmp/x.sh",
		"curl https://example.com/y > x\n. ./x",
		"wget https://example.com/x.sh?a=1; sudo bash x.sh",
		"curl -fsSLo /opt/x https://example.com/y\nchmod +x /opt/x",
		"curl -o /opt/x https://example.com/y\nchmod 0755 /opt/x",
		"X=$(curl https://example.com); eval \"$X\"",
		"X=`curl https://example.com`\nsh -c \"${X}\"",
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
		"//",
		"curl -o /opt/x.json https://example.com/y\nsh /opt/app/start",
		"curl https://example.com/y | sudo tee /opt/x.sh",
		"sh /opt/x.sh",
		"curl -o /opt/x.json https://example.com/y\nchmod 0644 /opt/x.json",
	] {
		in_content(line) == set()
	}
}

test_the_line_that_runs_it_is_named if {
	text := "#!/bin/sh\ncurl -o x https://example.com/x\nsh ./x\ncurl https://example.com/y \\\n | sh\n"
	found({"files": [{"path": "/a", "content": text}]}, {}) == {array.concat(at, [2]), array.concat(at, [3, 4])}
}

test_sources_are_read_too if {
	found({"files": [{"path": "/a", "source": "files/a"}]}, {"files/a": "#!/bin/sh\ncurl https://example.com/x | sh"}) == {["sources", "files/a", 1]}
}

test_what_fetches_and_is_too_large_to_be_looked_through if {
	text := concat("", ["x" | some _ in numbers.range(1, 65536)])
	in_content(text) == set()
	in_content(concat("\n", [text, "x"])) == set()
	in_content(concat("\n", [text, "curl https://example.com/y"])) == {["spec", "files", 0, "path"]}
	found({"hostFiles": [{"path": "/a", "content": concat("\n", [text, "curl x"])}]}, {}) == {["spec", "hostFiles", 0, "path"]}
	found({"files": [{"path": "/a", "source": "files/a"}]}, {"files/a": concat("\n", ["curl x", text])}) == {["spec", "files", 0, "path"]}
}

test_comments_fetch_nothing if in_content("//\tcurl x | sh\n#curl x | sh") == set()

test_what_one_file_fetches_another_may_run if {
	found({"files": [{"path": "/a", "content": "curl -o x.sh https://example.com/y"}, {"path": "/b", "content": "curl x; sh x.sh"}]}, {}) == set()
}

test_commands_are_read if {
	command := ["/bin/sh", "-c", "curl https://example.com/x | sh"]
	found({"processes": [{"name": "a", "command": command}]}, {}) == {["spec", "processes", 0, "command"]}
	found({"probes": [{"name": "a", "command": command}]}, {}) == {["spec", "probes", 0, "command"]}
	found({"files": [{"path": "/a", "check": command}]}, {}) == {["spec", "files", 0, "check"]}
	found({"probes": [{"name": "a", "command": ["/bin/true"]}]}, {}) == set()
}

test_units_blocks_containers_and_actions_are_looked_at if {
	piped := "ExecStart=/bin/sh -c 'curl https://example.com/a | sh'"
	every spec in [
		{"services": [{"name": "a.service", "unit": piped}]},
		{"services": [{"name": "a.service", "dropIns": [{"name": "a.conf", "content": piped}]}]},
		{"services": [{"name": "a.service", "source": "files/a"}]},
		{"hostFiles": [{"path": "/etc/profile", "content": "curl https://example.com/a | sh"}]},
		{"containers": [{"name": "a", "command": ["/bin/sh", "-c", "curl https://example.com/a | sh"]}]},
		{"actions": [{"name": "a", "run": ["/bin/sh", "-c", "curl https://example.com/a | sh"]}]},
	] {
		count(found(spec, {"files/a": concat("\n", ["[Service]", piped])})) == 1
	}
}
