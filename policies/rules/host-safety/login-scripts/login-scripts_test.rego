package ordain.rules.host_safety.login_scripts_test

import data.ordain.rules.host_safety.login_scripts

found(section, entry) := result if {
	result := {finding.path | some finding in login_scripts.deny} with input as {"object": {"spec": {section: [entry]}}}
}

test_start_up_files_are_found if {
	every path in [
		"/root/.bashrc",
		"/home/ana/.profile",
		"/home/ana/.zshenv",
		"/home/ana/.rhosts",
		"/var/lib/postgresql/.netrc",
		"/home/ana/.config/systemd/user/a.service",
	] {
		found("files", {"path": path}) == {["spec", "files", 0, "path"]}
	}
	found("artifacts", {"path": "/root/.profile"}) == {["spec", "artifacts", 0, "path"]}
}

test_other_files_pass if {
	every path in [
		"/etc/profile.d/app.sh",
		"/etc/skel/.bashrc",
		"/root/.bashrc.d",
		"/home/ana/app/.profile.txt",
		"/home/ana/.config/app/app.conf",
		"/opt/app/.profile",
	] {
		found("files", {"path": path}) == set()
	}
}

test_taking_one_away_passes if found("files", {"path": "/root/.bashrc", "absent": true}) == set()
