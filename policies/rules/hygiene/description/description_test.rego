package ordain.rules.hygiene.description_test

import data.ordain.rules.hygiene.description

found(kind, spec) := result if {
	result := count(description.deny) with input as {
		"object": {"kind": kind, "metadata": {"name": "a"}, "spec": spec},
		"parameters": {},
	}
}

test_a_description_passes if found("Fleet", {"description": "The shop's web servers"}) == 0

test_none_is_found if {
	every kind in ["Component", "Fleet", "Tenant"] {
		found(kind, {}) == 1
		found(kind, {"description": " "}) == 1
	}
}

test_hosts_need_none if found("Agent", {}) == 0

test_it_is_found_where_it_would_stand if {
	paths := {finding.path | some finding in description.deny} with input as {
		"object": {"kind": "Fleet", "metadata": {"name": "a"}, "spec": {}},
		"parameters": {},
	}
	paths == {["spec", "description"]}
}
