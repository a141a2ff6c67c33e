package ordain.rules.lib.landing_test

import data.ordain.rules.lib.landing

test_everything_that_is_written_has_its_path if {
	found := {entry.path | some entry in landing.all} with input as {"object": {"spec": {
		"files": [{"path": "/etc/a"}],
		"artifacts": [{"path": "/opt/a"}],
		"hostFiles": [{"path": "/etc/hosts"}],
		"services": [{"name": "a.service", "timer": "x", "dropIns": [{"name": "b.conf"}]}],
		"containers": [{"name": "edge"}],
	}}}
	found == {
		"/etc/a",
		"/opt/a",
		"/etc/hosts",
		"/etc/systemd/system/a.service",
		"/etc/systemd/system/a.timer",
		"/etc/systemd/system/a.service.d/b.conf",
		"/etc/containers/systemd/edge.container",
	}
}

test_a_place_is_where_the_manifest_says_so if {
	found := {entry.at | some entry in landing.all} with input as {"object": {"spec": {"services": [{"name": "a.service"}]}}}
	found == {["spec", "services", 0, "name"]}
}
