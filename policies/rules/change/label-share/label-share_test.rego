package ordain.rules.change.label_share_test

import data.ordain.rules.change.label_share

found(hit, total, labels) := result if {
	result := {finding.path: finding.message | some finding in label_share.deny} with input as {
		"change": {"impact": {"by_label": {"region": {"eu": hit, "us": 1}}, "total_by_label": {"region": {"eu": total, "us": 10}}}},
		"parameters": {"labels": labels, "share": "50%", "least": 4},
	}
}

test_more_than_the_share_of_one_value_is_found if {
	found(6, 10, ["region"]) == {["impact", "by_label", "region", "eu"]: "this change reaches 6 of 10 agents with region=eu, more than 50%"}
	object.keys(found(4, 4, ["zone", "region"])) == {["impact", "by_label", "region", "eu"]}
}

test_the_share_itself_passes if found(5, 10, ["region"]) == {}

test_few_agents_pass if found(3, 3, ["region"]) == {}

test_it_is_off_until_labels_are_set if found(10, 10, []) == {}
