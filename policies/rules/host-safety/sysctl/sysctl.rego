# METADATA
# title: Settings of the kernel keep their guards up
# description: |
#   Some of the kernel's settings hand the host to whoever asks, or take away what stops an attack halfway: a program that
#   gets every core dump, memory at the same addresses each time, links that lead others' writes astray.
#   parameters.refused are keys, or `key=value`; `*` stands for one part of a key. Values that are references can't be
#   judged here, so for these keys they are refused too.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: host-safety/sysctl
#   remedy: leave the setting at the distribution's default
#   parameters:
#     refused:
#       - kernel.core_pattern
#       - kernel.modprobe
#       - kernel.randomize_va_space=0
#       - kernel.randomize_va_space=1
#       - kernel.kptr_restrict=0
#       - kernel.dmesg_restrict=0
#       - kernel.unprivileged_bpf_disabled=0
#       - kernel.yama.ptrace_scope=0
#       - fs.suid_dumpable=1
#       - fs.suid_dumpable=2
#       - fs.protected_symlinks=0
#       - fs.protected_hardlinks=0
#       - net.ipv4.conf.*.accept_source_route=1
#       - net.ipv6.conf.*.accept_source_route=1
package ordain.rules.host_safety.sysctl

import data.ordain.result
import data.ordain.rules.lib.lines

deny contains result.at(rego.metadata.chain(), line.at, message) if {
	some i, file in input.object.spec.files
	settings_of_the_kernel(file.path)
	some line in lines.of(i, file)
	[_, key, value] := regex.find_all_string_submatch_n(`^\s*-?([^\s#;=]+)\s*=\s*(.*?)\s*$`, line.text, 1)[0]
	name := replace(key, "/", ".")
	refused(name, value)
	message := sprintf("%s sets %s to %s", [file.path, name, value])
}

settings_of_the_kernel("/etc/sysctl.conf")

settings_of_the_kernel(path) if lines.below(path, ["/etc/sysctl.d", "/usr/local/lib/sysctl.d"])

refused(name, value) if {
	some entry in input.parameters.refused
	[key, rest] := array.slice(array.concat(split(entry, "="), [""]), 0, 2)
	glob.match(key, ["."], name)
	concerns(rest, value)
}

concerns("", _)

concerns(value, value)

concerns(_, value) if contains(value, "${")
