package ordain.rules.hygiene.agent_labels_test

import data.ordain.rules.hygiene.agent_labels

found(kind, labels) := result if {
	result := {finding.path | some finding in agent_labels.deny} with input as {
		"object": {"kind": kind, "metadata": {"name": "a", "labels": labels}},
		"parameters": {"labels": ["role", "region"]},
	}
}

region := ["metadata", "labels", "region"]

test_missing_and_empty_labels_are_found if {
	found("Agent", {"role": "web"}) == {region}
	found("AgentPool", {"role": "web", "region": ""}) == {region}
	count(found("Agent", {})) == 2
}

test_all_labels_pass if found("Agent", {"role": "web", "region": "eu"}) == set()

test_other_kinds_pass if found("Fleet", {}) == set()
