package ordain.custom.hosts.region_test

import data.ordain.custom.hosts.region

found(labels) := result if {
	asked := {"object": {"kind": "Agent", "metadata": {"name": "a", "labels": labels}}, "parameters": {"regions": ["eu", "us"]}}
	result := count(region.deny) with input as asked
}

test_a_host_without_a_region_is_found if found({"role": "web"}) == 1

test_a_host_in_a_region_passes if found({"region": "eu"}) == 0
