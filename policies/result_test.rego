package ordain.result_test

import data.ordain.result

test_a_finding_has_the_nearest_code if {
	chain := [
		{"path": ["a"]},
		{"annotations": {"custom": {"code": "near"}}},
		{"annotations": {"custom": {"code": "far"}}},
	]
	result.at(chain, ["spec"], "wrong") == {"code": "near", "path": ["spec"], "message": "wrong"}
}

test_without_a_code_the_rules_own_is_taken if {
	result.at([{"annotations": {"title": "A rule"}}], [], "wrong").code == ""
}
