package ordain.rules.reliability.reboot_window_test

import data.ordain.rules.reliability.reboot_window

found(spec) := result if {
	result := {finding.path | some finding in reboot_window.deny} with input as {"object": {"spec": spec}}
}

test_any_hour_is_found if found({"reboot": {"when": "always"}}) == {["spec", "reboot"]}

test_a_window_passes if {
	found({"reboot": {"when": "required", "within": {"cron": "0 3 * * *", "duration": "2h"}}}) == set()
	found({}) == set()
}
