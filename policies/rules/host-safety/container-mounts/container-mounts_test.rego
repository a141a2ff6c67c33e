package ordain.rules.host_safety.container_mounts_test

import data.ordain.rules.host_safety.container_mounts

found(container) := result if {
	result := {finding.path | some finding in container_mounts.deny} with input as {
		"object": {"spec": {"containers": [object.union({"name": "edge"}, container)]}},
		"parameters": {"refused": ["/etc/ssh", "/run/podman"], "networks": ["host"]},
	}
}

test_what_gives_the_host_away_is_found if {
	every source in ["/etc/ssh", "/etc/ssh/keys", "/etc", "/run/podman/podman.sock", "/run"] {
		found({"volumes": [{"source": "cache"}, {"source": source}]}) == {["spec", "containers", 0, "volumes", 1, "source"]}
	}
	found({"network": "host"}) == {["spec", "containers", 0, "network"]}
}

test_what_is_its_own_passes if {
	every source in ["cache", "/srv/edge", "/etc/sshd", "/etc/edge"] {
		found({"volumes": [{"source": source}]}) == set()
	}
	found({"network": "edge"}) == set()
}
