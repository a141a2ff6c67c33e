package ordain.rules.tenancy.waiver_granted_by_test

import data.ordain.rules.tenancy.waiver_granted_by

waiver := {"metadata": {"name": "mirror", "tenant": "shop"}, "spec": {"rule": "a/b", "expires": "2027-01-31", "description": "d"}}

file := "tenants/shop/waivers/mirror.yaml"

found(old, commits, by) := messages if {
	messages := {finding.message | some finding in waiver_granted_by.deny} with input as {
		"object": waiver,
		"old": old,
		"parameters": {"by": by},
		"change": {
			"commits": commits,
			"objects": {"added": [{"kind": "Waiver", "tenant": "shop", "name": "mirror", "file": file}], "changed": []},
		},
	}
}

by_signers(signers) := [{"signer": signer, "paths": [file]} | some signer in signers]

test_those_who_may_grant_it if {
	found(null, by_signers(["ana"]), ["ana"]) == set()
	found(null, by_signers(["shop/ben", "ana"]), ["ana", "shop/*"]) == set()
}

test_others_are_named if {
	found(null, by_signers(["eve"]), ["ana"]) == {"this waiver is signed by eve, and only ana may grant one"}
	found(null, by_signers(["ana", "eve"]), ["ana"]) == {"this waiver is signed by ana, eve, and only ana may grant one"}
}

test_nobody_is_nobody if {
	found(null, by_signers([null]), ["ana"]) == {"this waiver is signed by nobody, and only ana may grant one"}
	found(null, [], ["ana"]) == {"this waiver is signed by nobody, and only ana may grant one"}
	found(null, [{"signer": "ana", "paths": ["other.yaml"]}], ["ana"]) == {"this waiver is signed by nobody, and only ana may grant one"}
}

test_a_pattern_stays_within_a_tenant if count(found(null, by_signers(["shop/a/b"]), ["shop/*", "*"])) == 1

test_another_end_is_another_grant if {
	count(found(object.union(waiver, {"spec": {"expires": "2026-12-31"}}), by_signers(["eve"]), ["ana"])) == 1
}

test_another_description_is_not if found(object.union(waiver, {"spec": {"description": "e"}}), by_signers(["eve"]), ["ana"]) == set()
