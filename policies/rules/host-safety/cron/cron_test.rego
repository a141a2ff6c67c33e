package ordain.rules.host_safety.cron_test

import data.ordain.rules.host_safety.cron

good := {"path": "/etc/cron.d/backup", "mode": "0644", "owner": "root", "content": "0 3 * * * root /usr/local/bin/backup\n"}

found(change) := result if {
	result := {finding.path[3] | some finding in cron.deny} with input as {"object": {"spec": {"files": [object.union(good, change)]}}}
}

test_a_careful_job_passes if {
	every change in [
		{},
		{"owner": "0"},
		{"path": "/etc/cron.daily/back-up_2"},
		{"mode": "0755"},
		{"content": "# see /tmp/x\n"},
		{"content": "0 3 * * * root backup > /tmp/log\n"},
	] {
		found(change) == set()
	}
}

test_owner_and_mode_may_be_left_out if {
	count(cron.deny) == 0 with input as {"object": {"spec": {"files": [object.remove(good, ["owner", "mode"])]}}}
}

test_each_directory_of_jobs_is_known if {
	every name in ["d", "hourly", "daily", "weekly", "monthly"] {
		found({"path": sprintf("/etc/cron.%s/a.sh", [name])}) == {"path"}
	}
}

test_tables_of_people_are_found if {
	found({"path": "/var/spool/cron/crontabs/ana"}) == {"path"}
	found({"path": "/var/spool/cronies"}) == set()
	found({"path": "/etc/cronicle/a.sh"}) == set()
}

test_who_may_change_a_job if {
	found({"owner": "deploy"}) == {"owner"}
	found({"mode": "0664"}) == {"mode"}
	found({"mode": "0720"}) == {"mode"}
}

test_shared_directories_are_found if {
	every directory in ["/tmp", "/var/tmp", "/dev/shm"] {
		found({"content": sprintf("0 3 * * * root %s/job\n", [directory])}) == {"content"}
		found({"content": sprintf("0 3 * * * root job > %s/log\n", [directory])}) == set()
	}
	found({"content": "HOME=/home/tmp/x\n"}) == set()
}

test_taking_a_job_away_passes if found({"absent": true, "path": "/etc/cron.d/old.sh"}) == set()

test_sources_are_read if {
	file := object.union(object.remove(good, ["content"]), {"source": "files/backup"})
	paths := {finding.path | some finding in cron.deny} with input as {
		"object": {"spec": {"files": [file]}},
		"sources": {"files/backup": "SHELL=/bin/sh\n0 3 * * * root /tmp/job"},
	}
	paths == {["sources", "files/backup", 1]}
}

test_what_is_only_written_to_passes_and_hides_nothing if {
	found({"content": "0 3 * * * root backup >> /tmp/log 2>&1\n"}) == set()
	every text in ["/tmp/x > /dev/null", "/tmp/x > /tmp/log", "cd /;/tmp/x", "x >/tmp/log;/tmp/x", "'/tmp/x'", "/.//tmp/x", "\\\n/tmp/x", "echo '#';/tmp/x"] {
		found({"content": sprintf("0 3 * * * root %s\n", [text])}) == {"content"}
	}
}

test_where_programs_are_looked_for if {
	every text in [
		"PATH=/tmp",
		"PATH = /bin:/tmp:/usr/bin",
		"HOME=/tmp",
		"SHELL=/tmp",
		"0 3 * * * root cd /tmp && ./x",
		"0 3 * * * root cd -P /var/tmp",
		"0 3 * * * root pushd /dev/shm; ./x",
	] {
		found({"content": text}) == {"content"}
	}
	every text in ["TMPDIR=/tmp", "PATH=/tmpl:/opt", "0 3 * * * root cd /tmpl", "0 3 * * * root ls /tmp", "0 3 * * * root /opt/tmp/x"] {
		found({"content": text}) == set()
	}
}

test_tables_of_the_host_and_directories_are_held_too if {
	every path in ["/etc/crontab", "/etc/anacrontab"] {
		found({"path": path, "owner": "ana", "mode": "0664", "content": "0 3 * * * root /tmp/x"}) == {"owner", "mode", "content"}
	}
	found({"path": "/etc/cron.d", "type": "directory", "owner": "ana"}) == {"owner"}
	found({"path": "/etc/cron.d", "type": "directory", "mode": "0755"}) == set()
}

test_what_can_not_be_read_is_found if {
	every path in ["/etc/cron.d/a", "/etc/crontab", "/var/spool/cron/crontabs"] {
		paths := {finding.path | some finding in cron.deny} with input as {"object": {"spec": {"artifacts": [{"path": path}]}}}
		paths == {["spec", "artifacts", 0, "path"]}
	}
}

test_other_files_pass if found({"path": "/etc/app.conf", "owner": "ana", "mode": "0664", "content": "/tmp/x"}) == set()
