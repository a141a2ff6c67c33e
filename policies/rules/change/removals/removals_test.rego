package ordain.rules.change.removals_test

import data.ordain.rules.change.removals

found(names) := result if {
	objects := {"added": [], "changed": [], "removed": [{"kind": "Agent", "name": name} | some name in names]}
	result := {finding.path | some finding in removals.deny} with input as {"change": {"objects": objects}, "parameters": {"most": 2}}
}

test_few_pass if {
	found([]) == set()
	found(["a", "b"]) == set()
}

test_many_are_found if found(["a", "b", "c"]) == {["objects", "removed"]}
