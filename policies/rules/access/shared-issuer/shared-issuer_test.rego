package ordain.rules.access.shared_issuer_test

import data.ordain.rules.access.shared_issuer

found(issuer, claims) := result if {
	result := {finding.path | some finding in shared_issuer.deny} with input as {
		"object": {"spec": {"enrolment": {"platforms": [
			{"issuer": "https://own.example.com", "claims": {"a": ["b"]}},
			{"issuer": issuer, "claims": claims},
		]}}},
		"parameters": {"issuers": {"https://shared.example.com": ["repository", "sub"]}},
	}
}

shared := "https://shared.example.com"

second := {["spec", "enrolment", "platforms", 1, "claims"]}

test_claims_that_anybody_has_are_found if {
	found(shared, {"ref": ["refs/heads/main"]}) == second
	found(shared, {"repository": []}) == second
}

test_beginnings_that_others_share_are_found if {
	found(shared, {"sub": ["repo:*"]}) == second
	found(shared, {"repository": ["acme*"]}) == second
	found(shared, {"repository": ["acme/web", "ac*"]}) == second
}

test_an_owner_in_full_passes if {
	found(shared, {"repository": ["acme/web"]}) == set()
	found(shared, {"repository": ["1234567"]}) == set()
	found(shared, {"sub": ["repo:acme/*"], "ref": ["x"]}) == set()
}

test_the_message_names_issuer_and_claims if {
	some finding in shared_issuer.deny with input as {
		"object": {"spec": {"enrolment": {"platforms": [{"issuer": shared, "claims": {"ref": ["x"]}}]}}},
		"parameters": {"issuers": {shared: ["repository", "sub"]}},
	}
	contains(finding.message, "https://shared.example.com signs for everybody")
	contains(finding.message, "(repository, sub)")
}

test_issuers_of_one_s_own_pass if found("https://other.example.com", {"ref": ["x"]}) == set()
