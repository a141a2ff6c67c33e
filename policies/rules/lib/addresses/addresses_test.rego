package ordain.rules.lib.addresses_test

import data.ordain.rules.lib.addresses

test_one_address_for_all_platforms if {
	addresses.all == {{
		"name": "a",
		"url": "https://example.com/a",
		"shown": "https://example.com/a",
		"digest": "12",
		"at": ["spec", "artifacts", 0],
	}} with input as {"object": {"spec": {"artifacts": [{"name": "a", "url": "https://example.com/a", "sha256": "12"}]}}}
}

test_one_address_for_each_platform if {
	artifact := {"name": "a", "platforms": {"linux/amd64": {"url": "store:a"}, "linux/arm64": {"url": "store:b"}}}
	found := {address.at: address.digest | some address in addresses.all} with input as {"object": {"spec": {"artifacts": [artifact]}}}
	found == {
		["spec", "artifacts", 0, "platforms", "linux/amd64"]: "",
		["spec", "artifacts", 0, "platforms", "linux/arm64"]: "",
	}
}

test_what_may_be_secret_is_not_shown if {
	addresses.shown("https://user:word@example.com/a@b?token=1") == "https://example.com/a@b?…"
	addresses.shown("store:a") == "store:a"
	addresses.shown("https://example.com/a#b?c") == "https://example.com/a?…"
}
