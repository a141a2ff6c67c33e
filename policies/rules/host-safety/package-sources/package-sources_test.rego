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
