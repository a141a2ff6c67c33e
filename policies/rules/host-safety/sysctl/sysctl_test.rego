package ordain.rules.host_safety.sysctl_test

import data.ordain.rules.host_safety.sysctl

found(path, text) := result if {
	result := {finding.message | some finding in sysctl.deny} with input as {
		"object": {"spec": {"files": [{"path": path, "content": text}]}},
		"parameters": {"refused": ["kernel.core_pattern", "kernel.kptr_restrict=0", "net.ipv4.conf.*.accept_source_route!=0"]},
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
		"kernel.kptr_restrict = 00",
		"kernel.kptr_restrict = 0x0",
		"kernel.kptr_restrict = 0 # for now",
		"- kernel.kptr_restrict = 0",
		"net.ipv4.conf.all.accept_source_route = 2",
		"net.ipv4.conf.eth0/1.accept_source_route = 1",
		"net/ipv4/conf/eth0.1/accept_source_route = 1",
		"net.ipv4.conf.*.accept_source_route = 1",
		"kernel.kptr_* = 0",
		"kernel.kptr_restric? = 0",
		"kernel.kptr_[r]estrict = 0",
		"${parameters.key} = 0",
		"kernel.${parameters.key}_restrict = 0",
	] {
		count(found(file, text)) == 1
	}
}

test_settings_of_the_component_are_found if {
	paths := {finding.path | some finding in sysctl.deny} with input as {
		"object": {"spec": {"kernelSettings": {"sysctl": {"kernel.kptr_restrict": 0, "kernel.modprobe": "${parameters.x}", "kernel.panic": 10, "vm.swappiness": 1}}}},
		"parameters": {"refused": ["kernel.kptr_restrict=0", "kernel.modprobe", "kernel.panic=0"]},
	}
	paths == {
		["spec", "kernelSettings", "sysctl", "kernel.kptr_restrict"],
		["spec", "kernelSettings", "sysctl", "kernel.modprobe"],
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
		"kernel.kptr_restrict = 0x10",
		"net.ipv4.conf.all.accept_source_route = 0",
		"net.ipv4.conf.*.rp_filter = 1",
		"net.ipv4.conf.${parameters.interface}.rp_filter = 1",
		"kernel.[ = 0",
	] {
		found(file, text) == set()
	}
}

test_files_of_the_kernels_settings if {
	every path in ["/etc/sysctl.conf", "/usr/local/lib/sysctl.d/a.conf", "/run/sysctl.d/a.conf"] {
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

test_what_can_not_be_read_is_found if {
	every path in ["/etc/sysctl.conf", "/etc/sysctl.d/a.conf"] {
		paths := {finding.path | some finding in sysctl.deny} with input as {"object": {"spec": {"artifacts": [{"path": path}]}}}
		paths == {["spec", "artifacts", 0, "path"]}
	}
}
