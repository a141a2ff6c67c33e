package ordain.rules.access.lasting_admin_test

import data.ordain.rules.access.lasting_admin

found(spec) := result if {
	result := {[finding.path, finding.message] | some finding in lasting_admin.deny} with input as {
		"object": {"spec": spec},
		"parameters": {"roles": ["tenant-admin", "admin"]},
	}
}

test_a_wide_role_without_an_end_is_found if {
	found({"role": "admin"}) == {[["spec", "role"], "role admin is given for ever"]}
	found({"role": "tenant-admin"}) == {[["spec", "role"], "role tenant-admin is given for ever"]}
}

test_one_with_an_end_passes if found({"role": "admin", "until": "2027-06-30T00:00:00Z"}) == set()

test_narrower_roles_pass if found({"role": "viewer"}) == set()
