package ordain.rules.host_safety.package_sources_test

import data.ordain.rules.host_safety.package_sources

found(url, hosts) := result if {
	result := {finding.path | some finding in package_sources.deny} with input as {
		"object": {"spec": {"packageRepositories": [{"name": "vendor", "url": url}]}},
		"parameters": {"hosts": hosts},
	}
}

place := {["spec", "packageRepositories", 0, "url"]}

test_plain_http_is_found if found("http://deb.example.com/a", []) == place

test_other_hosts_are_found if {
	every url in ["https://evil.example.org/a", "https://deb.example.com@evil.example.org/a", "https://notexample.com"] {
		found(url, ["deb.example.com", "*.example.com"]) == place
	}
}

test_a_name_is_no_end_of_another if found("https://notexample.com", ["example.com"]) == place

test_known_hosts_pass if {
	found("https://deb.example.com/a", []) == set()
	found("https://DEB.example.com:8443/a", ["deb.example.com"]) == set()
	found("https://a.b.example.com/a", ["*.example.com"]) == set()
	found("file:///srv/packages", ["deb.example.com"]) == set()
}

files(file) := result if {
	result := {finding.path | some finding in package_sources.deny} with input as {
		"object": {"spec": {"files": [file]}},
		"sources": {"files/a": "[a]\nbaseurl=https://a.example\ngpgcheck=0\n", "files/b": "[a]\ngpgcheck=1\n"},
		"parameters": {"hosts": []},
	}
}

test_a_source_that_is_written_as_a_file_is_found if {
	every file in [
		{"path": "/etc/apt/sources.list", "content": "deb http://deb.example.com/debian bookworm main\n"},
		{"path": "/etc/apt/sources.list.d/a.list", "content": "deb [trusted=yes] https://deb.example.com/debian bookworm main\n"},
		{"path": "/etc/apt/sources.list.d/a.sources", "content": "URIs: https://deb.example.com\nTrusted: Yes\n"},
		{"path": "/etc/yum.repos.d/a.repo", "source": "files/a"},
	] {
		files(file) == {["spec", "files", 0, "path"]}
	}
	every file in [
		{"path": "/etc/apt/sources.list.d/a.list", "content": "# was http://deb.example.com\ndeb https://deb.example.com/debian bookworm main\n"},
		{"path": "/etc/apt/sources.list.d/a.list", "absent": true},
		{"path": "/etc/yum.repos.d/a.repo", "source": "files/b"},
		{"path": "/etc/app.conf", "content": "http://deb.example.com\n"},
	] {
		files(file) == set()
	}
}
