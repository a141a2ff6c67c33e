package ordain.rules.access.reimage_test

import data.ordain.rules.access.reimage

found(enrolment) := result if {
	result := {[finding.path, finding.message] | some finding in reimage.deny} with input as {"object": {
		"metadata": {"name": "web-01"},
		"spec": {"enrolment": enrolment},
	}}
}

test_an_open_name_is_found if {
	found({"reimage": "allowed"}) == {[["spec", "enrolment", "reimage"], "another host may enrol as web-01 while it is enrolled"]}
}

test_others_pass if {
	found({"reimage": "refused"}) == set()
	found({}) == set()
}
