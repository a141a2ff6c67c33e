package ordain.rules.supply_chain.replaced_content_test

import data.ordain.rules.supply_chain.replaced_content

component(url, digest) := {"spec": {"artifacts": [{"name": "a", "url": url, "sha256": digest}]}}

found(old, new) := result if {
	result := {finding.path: finding.message | some finding in replaced_content.deny} with input as {"object": new, "old": old}
}

test_another_digest_at_the_same_address_is_found if {
	every url in ["https://example.com/a?token=1", "HTTP://example.com/a"] {
		{["spec", "artifacts", 0, "sha256"]} == object.keys(found(component(url, "1"), component(url, "2")))
	}
}

test_the_message_holds_no_token if {
	url := "https://example.com/a?token=1"
	found(component(url, "1"), component(url, "2"))[_] == "https://example.com/a?… had another digest until now"
}

test_another_address_passes if found(component("https://example.com/1", "1"), component("https://example.com/2", "2")) == {}

test_the_same_digest_passes if found(component("https://example.com/1", "1"), component("https://example.com/1", "1")) == {}

test_a_new_component_passes if found(null, component("https://example.com/1", "1")) == {}

test_the_store_may_change if found(component("store:a", "1"), component("store:a", "2")) == {}
