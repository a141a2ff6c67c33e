package ordain.rules.change.downgrade_test

import data.ordain.rules.change.downgrade

component(name, url) := {"spec": {"artifacts": [{"name": name, "url": url}]}}

found(old, new) := result if {
	result := {finding.path: finding.message | some finding in downgrade.deny} with input as {"object": new, "old": old}
}

at := ["spec", "artifacts", 0, "url"]

from_to(old, new) := found(component("app", old), component("app", new))

test_a_lower_version_is_found if {
	from_to("https://example.com/app-1.10.0", "https://example.com/app-1.9.3") == {at: "artifact app goes from version 1.10.0 down to 1.9.3"}
	object.keys(from_to("https://example.com/v1.2/app_2.0.1", "https://example.com/v1.2/app_1.9.9")) == {at}
	object.keys(from_to("store:app-2026.02.01", "store:app-2026.01.09")) == {at}
	object.keys(from_to("https://example.com/1.2.1", "https://example.com/1.2")) == {at}
}

test_the_same_or_a_higher_one_passes if {
	from_to("https://example.com/app-1.9.3", "https://example.com/app-1.10.0") == {}
	from_to("https://example.com/app-1.9.3", "https://mirror.example.com/app-1.9.3") == {}
	from_to("https://10.0.0.9/app-1.9.3", "https://10.0.0.1/app-1.9.4") == {}
	from_to("https://10.0.0.9/app", "https://10.0.0.1/app") == {}
	from_to("store:app-2026.08.09", "store:app-2026.10.01") == {}
	from_to("store:app-1.00.1", "store:app-1.0.1") == {}
}

test_other_artifacts_are_not_compared if {
	found(component("app", "store:a-2.0"), component("tool", "store:a-1.0")) == {}
}

platforms(amd64, arm64) := {"spec": {"artifacts": [{"name": "app", "platforms": {
	"linux/amd64": {"url": amd64},
	"linux/arm64": {"url": arm64},
}}]}}

test_platforms_are_compared_with_themselves if {
	found(platforms("store:a-2.0", "store:a-1.0"), platforms("store:a-2.0", "store:a-1.0")) == {}
	paths := object.keys(found(platforms("store:a-2.0", "store:a-1.1"), platforms("store:a-2.0", "store:a-1.0")))
	paths == {["spec", "artifacts", 0, "platforms", "linux/arm64", "url"]}
}

test_a_new_component_passes if found(null, component("app", "store:a-1.0")) == {}
