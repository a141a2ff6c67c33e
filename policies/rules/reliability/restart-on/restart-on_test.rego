package ordain.rules.reliability.restart_on_test

import data.ordain.rules.reliability.restart_on

found(command, paths) := result if {
	result := {finding.message | some finding in restart_on.deny} with input as {"object": {"spec": {
		"files": [{"path": "/etc/app/app.conf"}],
		"artifacts": [{"name": "app", "path": "/opt/app"}],
		"processes": [object.union({"name": "app", "command": command}, paths)],
	}}}
}

test_files_of_the_command_are_found if {
	found(["/bin/app", "--config", "/etc/app/app.conf"], {}) == {"process app does not start again when /etc/app/app.conf changes"}
	count(found(["/bin/app", "--config=/etc/app/app.conf"], {"restartOn": ["/opt/app"]})) == 1
	found(["/opt/app"], {"restartOn": []}) == {"process app does not start again when /opt/app changes"}
}

test_files_that_are_listed_pass if {
	found(["/opt/app", "/etc/app/app.conf"], {"restartOn": ["/etc/app/app.conf", "/opt/app"]}) == set()
}

test_files_that_a_container_sees_are_found if {
	found := {finding.message | some finding in restart_on.deny} with input as {"object": {"spec": {
		"files": [{"path": "/etc/app/app.conf"}, {"path": "/etc/app/b.conf"}, {"path": "/srv", "type": "directory"}],
		"containers": [{
			"name": "edge",
			"volumes": [{"source": "/etc/app/app.conf"}, {"source": "/etc/app/b.conf"}, {"source": "cache"}, {"source": "/srv"}],
			"restartOn": ["/etc/app/b.conf"],
		}],
	}}}
	found == {"container edge does not start again when /etc/app/app.conf changes"}
}

test_other_words_pass if {
	found(["/bin/app", "/etc/app/app.conf.d", "x/etc/app/app.conf"], {}) == set()
}
