package ordain.rules.hygiene.unit_hardening_test

import data.ordain.rules.hygiene.unit_hardening

found(service) := result if {
	result := {finding.message | some finding in unit_hardening.deny} with input as {
		"object": {"spec": {"services": [object.union({"name": "app.service"}, service)]}},
		"sources": {"files/a": "[Service]\nExecStart=/a\n"},
		"parameters": {"wanted": ["NoNewPrivileges", "PrivateTmp"]},
	}
}

test_what_is_missing_is_named if {
	found({"unit": "[Service]\nPrivateTmp=yes\n"}) == {"service app.service does without NoNewPrivileges"}
	found({"source": "files/a"}) == {"service app.service does without NoNewPrivileges, PrivateTmp"}
	found({"unit": "[Service]\n#PrivateTmp=yes\nNoNewPrivileges=\n"}) == {"service app.service does without NoNewPrivileges, PrivateTmp"}
}

test_drop_ins_count if {
	found({"source": "files/a", "dropIns": [{"content": "[Service]\nNoNewPrivileges=yes\nPrivateTmp = yes\n"}]}) == set()
}

test_what_is_the_hosts_or_no_service_passes if {
	found({}) == set()
	found({"name": "a.timer", "unit": "[Timer]\nOnCalendar=daily\n"}) == set()
}
