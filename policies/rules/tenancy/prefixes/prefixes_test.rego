package ordain.rules.tenancy.prefixes_test

import data.ordain.rules.tenancy.prefixes

found(metadata, section, path, parameter) := result if {
	result := {finding.path | some finding in prefixes.deny} with input as {
		"object": {"metadata": metadata, "spec": {section: [{"path": path}]}},
		"parameters": {"prefixes": parameter},
	}
}

shop := {"name": "a", "tenant": "shop"}

own := ["/etc/{tenant}", "/srv/"]

test_other_places_are_found if {
	every path in ["/etc/nginx/a.conf", "/etc/shopping", "/etc/lab/a", "/srvx"] {
		found(shop, "files", path, own) == {["spec", "files", 0, "path"]}
	}
	found(shop, "artifacts", "/opt/a", own) == {["spec", "artifacts", 0, "path"]}
}

test_own_places_pass if {
	every path in ["/etc/shop", "/etc/shop/a/b", "/srv/x"] {
		found(shop, "files", path, own) == set()
	}
}

test_the_library_belongs_to_no_tenant if found({"name": "a"}, "files", "/etc/nginx", own) == set()

test_the_message_says_what_is_allowed if {
	messages := {finding.message | some finding in prefixes.deny} with input as {
		"object": {"metadata": shop, "spec": {"files": [{"path": "/opt/a"}]}},
		"parameters": {"prefixes": own},
	}
	messages == {"/opt/a is outside of what tenant shop may write: /etc/shop, /srv"}
}
