package ordain.rules.host_safety.sysctl_test

import data.ordain.rules.host_safety.sysctl

found(path, text) := result if {
	result := {finding.message | some finding in sysctl.deny} with input as {
		"object": {"spec": {"files": [{"path": path, "content": text}]}},
		"parameters": {"refused": ["kernel.core_pattern", "kernel.kptr_restrict=0", "net.ipv4.conf.*.accept_source_route=1"]},
	}
}

file := "/etc/sysctl.d/60-app.conf"

test_guards_that_are_lowered_are_found if {
	every text in [
		"kernel.kptr_restrict=0",
		"kernel.kptr_restrict = 0",
		"  -kernel.kptr_restrict = 0  \n",
		"kernel/kptr_restrict=0",
		"net.core.somaxconn = 1\nkernel.core_pattern = |/bin/x",
		"net.ipv4.conf.all.accept_source_route = 1",
		"kernel.kptr_restrict = ${parameters.level}",
	] {
		count(found(file, text)) == 1
	}
}

test_other_settings_pass if {
	every text in [
		"kernel.kptr_restrict = 1",
		"# kernel.kptr_restrict = 0",
		"; kernel.kptr_restrict = 0",
		"net.core.somaxconn = 4096",
		"net.core.somaxconn = ${parameters.backlog}",
		"net.ipv4.conf.all.x.accept_source_route = 1",
		"kernel.kptr_restrict",
	] {
		found(file, text) == set()
	}
}

test_files_of_the_kernels_settings if {
	every path in ["/etc/sysctl.conf", "/usr/local/lib/sysctl.d/a.conf"] {
		found(path, "kernel.kptr_restrict = 0") == {sprintf("%s sets kernel.kptr_restrict to 0", [path])}
	}
	found("/etc/app/sysctl.conf", "kernel.kptr_restrict = 0") == set()
}

test_sources_are_read if {
	paths := {finding.path | some finding in sysctl.deny} with input as {
		"object": {"spec": {"files": [{"path": file, "source": "files/a"}]}},
		"parameters": {"refused": ["kernel.modprobe"]},
		"sources": {"files/a": "a.b = 1\nkernel.modprobe = /x"},
	}
	paths == {["sources", "files/a", 1]}
}
