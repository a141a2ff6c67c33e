package ordain.rules.release.size_test

import data.ordain.rules.release.size

found(group) := result if {
	result := count(size.deny) with input as {
		"release": {"groups": {"eu": group}},
		"parameters": {"characters": 10},
	}
}

files(texts) := {"files": [{"path": "/a", "content": text} | some text in texts]}

test_all_contents_of_a_group_count if {
	found({"base": files(["12345", "12345"]), "modes": []}) == 0
	found({"base": files(["12345", "123456"]), "modes": []}) == 1
	found({"base": files(["12345"]), "modes": [{"name": "incident", "state": files(["123456"])}]}) == 1
}

test_nothing_is_small if found({"base": {}}) == 0

test_what_is_not_text_counts_too if {
	found({"base": {"files": [{"path": "/a", "contentBase64": "12345678901"}]}}) == 1
}

test_it_is_found_at_the_components if {
	paths := {finding.path | some finding in size.deny} with input as {
		"release": {"groups": {"eu": {"base": files(["123"]), "modes": []}}},
		"parameters": {"characters": 1},
	}
	paths == {["fleet", "spec", "components"]}
}
