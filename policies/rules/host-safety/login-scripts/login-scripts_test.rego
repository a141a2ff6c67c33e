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
		"/home/team/ana/.bashrc",
		"/etc/skel/.bashrc",
		"/opt/app/.profile",
		"/home/ana/.xprofile",
		"/home/ana/.xsessionrc",
		"/home/ana/.config/fish/config.fish",
		"/home/ana/.config/fish/conf.d/a.fish",
		"/home/ana/.local/share/systemd/user/a.service",
		"/var/lib/postgresql/.netrc",
		"/home/ana/.config/systemd/user/a.service",
	] {
		found("files", {"path": path}) == {["spec", "files", 0, "path"]}
	}
	found("artifacts", {"path": "/root/.profile"}) == {["spec", "artifacts", 0, "path"]}
	found("hostFiles", {"path": "/root/.profile"}) == {["spec", "hostFiles", 0, "path"]}
}

test_other_files_pass if {
	every path in [
		"/etc/profile.d/app.sh",
		"/root/.bashrc.d",
		"/home/ana/app/.profile.txt",
		"/home/ana/.config/app/app.conf",
	] {
		found("files", {"path": path}) == set()
	}
}

test_taking_one_away_passes if found("files", {"path": "/root/.bashrc", "absent": true}) == set()

test_what_may_hold_such_files_is_found if {
	every path in ["/root", "/home", "/home/ana", "/etc/skel", "/home/ana/.config", "/root/.config/systemd/user"] {
		found("artifacts", {"path": path}) == {["spec", "artifacts", 0, "path"]}
	}
	found("files", {"path": "/root", "type": "symlink"}) == {["spec", "files", 0, "path"]}
	found("files", {"path": "/home/ana", "type": "directory"}) == set()
	found("artifacts", {"path": "/home/ana/app"}) == set()
}
