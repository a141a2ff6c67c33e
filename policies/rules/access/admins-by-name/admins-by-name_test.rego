package ordain.rules.access.admins_by_name_test

import data.ordain.rules.access.admins_by_name

found(role, subjects) := result if {
	result := {[finding.path, finding.message] | some finding in admins_by_name.deny} with input as {
		"object": {"spec": {"role": role, "subjects": subjects}},
		"parameters": {"roles": ["tenant-admin", "admin"]},
	}
}

sre := "group:https://id.example.com#sre"

test_a_group_with_a_wide_role_is_found_at_its_place if {
	found("admin", ["operator:ana", sre]) == {[
		["spec", "subjects", 1],
		"whoever gets into group:https://id.example.com#sre becomes admin, and no commit shows who",
	]}
	count(found("tenant-admin", [sre])) == 1
}

test_people_pass if found("admin", ["operator:ana", "oidc:https://id.example.com#ana@example.com"]) == set()

test_narrower_roles_pass if found("operator", [sre]) == set()
