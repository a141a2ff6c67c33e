package ordain.rules.supply_chain.https_only_test

import data.ordain.rules.supply_chain.https_only

parameters := {"schemes": ["https", "store", "file"]}

component(artifact) := {
	"object": {"kind": "Component", "spec": {"artifacts": [artifact]}},
	"parameters": parameters,
}

test_https_store_and_file_pass if {
	every url in ["https://example.com/a", "HTTPS://example.com/a", "store:a", "file:///srv/a"] {
		count(https_only.deny) == 0 with input as component({"name": "a", "url": url})
	}
}

test_http_is_found_at_its_url if {
	{finding.path | some finding in https_only.deny} == {["spec", "artifacts", 0, "url"]} with input as component({
		"name": "a",
		"url": "http://example.com/a",
	})
}

test_http_of_one_platform_is_found_there if {
	paths := {finding.path | some finding in https_only.deny} with input as component({
		"name": "a",
		"platforms": {"linux/amd64": {"url": "http://example.com/a"}, "linux/arm64": {"url": "https://example.com/a"}},
	})
	paths == {["spec", "artifacts", 0, "platforms", "linux/amd64", "url"]}
}

test_the_finding_carries_the_code if {
	codes := {finding.code | some finding in https_only.deny} with input as component({"name": "a", "url": "http://x/"})
	codes == {"supply-chain/insecure-url"}
}

test_what_may_be_secret_is_not_repeated if {
	messages := {finding.message | some finding in https_only.deny} with input as component({
		"name": "a",
		"url": "http://user:word@example.com/a",
	})
	messages == {"artifact a is fetched from http://example.com/a, which is not one of https, store, file"}
}
