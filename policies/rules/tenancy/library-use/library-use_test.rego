package ordain.rules.tenancy.library_use_test

import data.ordain.rules.tenancy.library_use

found(metadata, section, name, components) := result if {
	result := {finding.path | some finding in library_use.deny} with input as {
		"object": {"metadata": metadata, "spec": {section: [{"name": name}]}},
		"parameters": {"components": components},
	}
}

shop := {"name": "a", "tenant": "shop"}

given := ["library/sshd", "library/base-*"]

test_others_are_found if {
	found(shop, "components", "library/kernel", given) == {["spec", "components", 0, "name"]}
	found(shop, "includes", "library/sshd-2", given) == {["spec", "includes", 0, "name"]}
}

test_given_ones_pass if {
	found(shop, "components", "library/sshd", given) == set()
	found(shop, "includes", "library/base-dirs", given) == set()
}

test_own_components_pass if found(shop, "components", "kernel", given) == set()

test_the_library_may_use_itself if found({"name": "a"}, "includes", "library/kernel", given) == set()
