package ordain.main_test

import data.ordain.main

shop := {"object": {"kind": "Tenant", "metadata": {"name": "shop"}, "spec": {}}}

lab := {"object": {"kind": "Tenant", "metadata": {"name": "lab"}, "spec": {"description": "The lab"}}}

asking(items, rules) := {
	"items": [{"profile": 0, "input": item} | some item in items],
	"profiles": [[{"parameters": {"label": "owner"}, "rules": rules}]],
	"change": {},
}

description := {"hygiene/description": ["rules", "hygiene", "description"]}

test_it_is_ready if main.ready

test_all_that_answered_are_counted_and_those_that_found_something_told if {
	answer := main.answer with input as asking([shop, lab], description)
	answer.asked == 2
	[[report.item, report.rule, count(report.findings)] | some report in answer.answers] == [[0, "hygiene/description", 1]]
}

test_a_rule_that_is_not_there_is_not_counted if {
	answer := main.answer with input as asking([shop], {"x/y": ["rules", "x", "y"]})
	answer == {"asked": 0, "answers": []}
}

test_each_kind_of_rule_is_found_where_it_lies if {
	rules := {
		"hygiene/description": ["rules", "hygiene", "description"],
		"custom/a/b": ["custom", "a", "b"],
		"shop/a/b": ["tenants", "shop", "a", "b"],
		"conftest/main": ["conftest", "main", "deny"],
	}
	answer := main.answer with input as asking([shop], rules)
		with data.ordain.custom.a.b.deny as {"own"}
		with data.ordain.tenants.shop.a.b.deny as {"theirs"}
		with data.ordain.conftest.main.deny as {"foreign"}
	answer.asked == 4
	{report.rule | some report in answer.answers} == object.keys(rules)
}

test_too_many_findings_are_not_sent if {
	answer := main.answer with input as asking([shop], {"custom/a/b": ["custom", "a", "b"]})
		with data.ordain.custom.a.b.deny as {number | some number in numbers.range(1, 1001)}
	answer.answers == [{"item": 0, "rule": "custom/a/b", "overflow": 1001}]
}
