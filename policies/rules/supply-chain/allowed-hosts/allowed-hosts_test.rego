package ordain.rules.supply_chain.allowed_hosts_test

import data.ordain.rules.supply_chain.allowed_hosts

hosts := ["mirror.example.com", "*.cdn.example.com"]

found(url) := result if {
	result := count(allowed_hosts.deny) with input as {
		"object": {"kind": "Component", "spec": {"artifacts": [{"name": "a", "url": url}]}},
		"parameters": {"hosts": hosts},
	}
}

test_known_hosts_pass if {
	every url in [
		"https://mirror.example.com/a",
		"https://mirror.example.com:8443/a",
		"https://Mirror.Example.com",
		"https://eu.cdn.example.com/a",
		"store:a",
		"file:///srv/a",
	] {
		found(url) == 0
	}
}

test_other_hosts_are_found if {
	every url in [
		"https://example.com/a",
		"https://mirror.example.com.evil.example/a",
		"https://mirror.example.com@evil.example/a",
		"https://evil.example/?mirror.example.com",
		"https://cdn.example.com/a",
		"https://evilmirror.example.com/a",
		"https://evilcdn.example.com/a",
		"https://[2001:db8::1]/a",
		"https://a:b/c",
		"https://mirror.example.com\\@evil.example/a",
	] {
		found(url) == 1
	}
}

registry(image) := result if {
	result := {finding.path | some finding in allowed_hosts.deny} with input as {
		"object": {"kind": "Component", "spec": {"containers": [{"name": "a", "image": image}]}},
		"parameters": {"hosts": ["localhost", "mirror.example.com", "docker.io"]},
	}
}

test_registries_of_images_are_looked_at if {
	every image in ["mirror.example.com/a@sha256:1", "mirror.example.com:5000/a/b@sha256:1", "nginx@sha256:1", "acme/edge@sha256:1", "localhost/a@sha256:1"] {
		registry(image) == set()
	}
	every image in ["quay.io/a@sha256:1", "example:5000/mirror.example.com/a@sha256:1"] {
		registry(image) == {["spec", "containers", 0, "image"]}
	}
}
