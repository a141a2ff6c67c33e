package ordain.rules.host_safety.root_processes_test

import data.ordain.rules.host_safety.root_processes

found(process) := result if {
	result := {finding.path | some finding in root_processes.deny} with input as {
		"object": {"spec": {"processes": [object.union({"name": "app"}, process)]}},
		"parameters": {"allowed": ["exporter"]},
	}
}

test_root_is_found if {
	every process in [{}, {"user": "root"}, {"user": "0"}, {"user": "00"}] {
		found(process) == {["spec", "processes", 0, "user"]}
	}
}

test_another_account_passes if found({"user": "app"}) == set()

test_what_was_named_passes if found({"name": "exporter"}) == set()

within(spec) := result if {
	result := {finding.path | some finding in root_processes.deny} with input as {
		"object": {"spec": spec},
		"sources": {"files/a": "[Service]\nExecStart=/a\n", "files/b": "[Service]\nUser=app\n", "files/c": "[Unit]\n"},
		"parameters": {"allowed": ["exporter.service", "exporter"]},
	}
}

service(fields) := within({"services": [object.union({"name": "app.service"}, fields)]})

test_containers_without_a_user_are_found if {
	every container in [{"name": "a"}, {"name": "a", "user": "0:0"}, {"name": "a", "user": "000"}, {"name": "a", "user": "root"}] {
		within({"containers": [container]}) == {["spec", "containers", 0, "user"]}
	}
	within({"containers": [{"name": "a", "user": "10001:10001"}, {"name": "exporter"}]}) == set()
}

test_units_without_a_user_are_found if {
	every fields in [
		{"unit": "[Service]\nExecStart=/a\n"},
		{"unit": "[Service]\nUser=root\n"},
		{"unit": "[Service]\nUser=app\n", "dropIns": [{"content": "[Service]\nUser=\n"}]},
		{"source": "files/a"},
		{"unit": "[Service]\nDynamicUser=no\n"},
		{"dropIns": [{"content": "[Service]\nUser=0\n"}]},
	] {
		service(fields) == {["spec", "services", 0, "name"]}
	}
}

test_other_units_pass if {
	every fields in [
		{},
		{"unit": "[Service]\nUser=app\n"},
		{"unit": "[Service]\n DynamicUser = yes\n"},
		{"unit": "[Service]\nDynamicUser=True\n"},
		{"unit": "[Service]\nDynamicUser=1\n"},
		{"unit": "[Service]\nDynamicUser=on\n"},
		{"source": "files/b"},
		{"source": "files/c"},
		{"unit": "[Service]\nExecStart=/a\n", "dropIns": [{"content": "[Service]\nUser=app\n"}]},
		{"unit": "[Service]\nExecStart=/a\n", "name": "exporter.service"},
		{"dropIns": [{"content": "[Service]\nRestart=always\n"}]},
	] {
		service(fields) == set()
	}
	within({"services": [{"name": "a.timer", "unit": "[Timer]\n"}, {"name": "a.socket", "unit": "[Socket]\nUser=root\n"}]}) == set()
}

test_units_that_are_written_as_files_are_found if {
	every file in [
		{"path": "/etc/systemd/system/a.service", "content": "[Service]\nExecStart=/a\n"},
		{"path": "/run/systemd/system/a.service", "source": "files/a"},
		{"path": "/etc/systemd/system/a.service.d/a.service", "content": "[Service]\nUser=00\n"},
		{"path": "/etc/containers/systemd/a.container", "content": "[Container]\nImage=a\n"},
	] {
		within({"files": [file]}) == {["spec", "files", 0, "path"]}
	}
	every file in [
		{"path": "/etc/systemd/system/a.service", "content": "[Service]\nUser=app\n"},
		{"path": "/etc/systemd/system/exporter.service", "content": "[Service]\n"},
		{"path": "/etc/systemd/system/a.timer", "content": "[Timer]\n"},
		{"path": "/etc/systemd/system/a.service.d/10-limits.conf", "content": "[Service]\nMemoryMax=1G\n"},
		{"path": "/srv/a.service", "content": "[Service]\n"},
		{"path": "/etc/systemd/system/a.service", "type": "symlink", "target": "/dev/null"},
		{"path": "/run/systemd/system/a.service", "source": "files/b"},
		{"path": "/etc/containers/systemd/a.container", "content": "[Container]\nUser=10001\n"},
	] {
		within({"files": [file]}) == set()
	}
}
