package ordain.rules.hygiene.unused_parameter_test

import data.ordain.rules.hygiene.unused_parameter

found(spec, sources) := result if {
	result := {finding.path | some finding in unused_parameter.deny} with input as {
		"object": {"spec": object.union({"parameters": {"port": {"type": "integer"}}}, spec)},
		"sources": sources,
	}
}

port := ["spec", "parameters", "port"]

test_what_nothing_refers_to_is_found if {
	found({}, {}) == {port}
	found({"files": [{"path": "/a", "content": "${parameters.ports} ${port}"}]}, {"files/a": "port"}) == {port}
}

test_a_mention_in_parameters_is_no_use if {
	found({"parameters": {"port": {"description": "${parameters.port}"}}}, {}) == {port}
}

test_what_is_referred_to_passes if {
	found({"files": [{"path": "/a", "content": "a ${parameters.port} b"}]}, {}) == set()
	found({"probes": [{"name": "a", "http": "http://127.0.0.1:${parameters.port}/"}]}, {}) == set()
	found({}, {"files/a": "x\nport ${parameters.port}"}) == set()
}
