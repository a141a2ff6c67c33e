# METADATA
# title: Settings of the kernel keep their guards up
# description: |
#   Some of the kernel's settings hand the host to whoever asks, or take away what stops an attack halfway: a program that
#   gets every core dump, memory at the same addresses each time, links that lead others' writes astray.
#   parameters.refused are keys, `key=value`, or `key!=value` for all other values; `*` stands for one part of a key. Values that are references can't be
#   judged here, so for these keys they are refused too.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   finished: true
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
#       - net.ipv4.conf.*.accept_source_route!=0
#       - net.ipv6.conf.*.accept_source_route!=0
package ordain.rules.host_safety.sysctl

import data.ordain.result
import data.ordain.rules.lib.lines
import data.ordain.rules.lib.unseen

files := ["/etc/sysctl.conf"]

directories := ["/etc/sysctl.d", "/usr/local/lib/sysctl.d", "/run/sysctl.d"]

deny contains result.at(rego.metadata.chain(), line.at, message) if {
	some i, file in input.object.spec.files
	settings_of_the_kernel(file.path)
	some line in lines.of(i, file)
	[_, key, value] := regex.find_all_string_submatch_n(`^\s*(?:-\s*)?([^\s#;=]+)\s*=\s*(.*?)\s*$`, line.text, 1)[0]
	name := canonical(key)
	suspicious(name)
	refused(name, number(value))
	message := sprintf("%s sets %s to %s", [file.path, name, value])
}

deny contains result.at(rego.metadata.chain(), ["spec", "kernelSettings", "sysctl", key], message) if {
	some key, stated in input.object.spec.kernelSettings.sysctl
	name := canonical(key)
	suspicious(name)
	value := sprintf("%v", [stated])
	refused(name, number(value))
	message := sprintf("%s is set to %s", [name, value])
}

deny contains result.at(rego.metadata.chain(), entry.at, unseen.message(entry)) if {
	some entry in unseen.at(array.concat(files, directories))
}

settings_of_the_kernel(path) if path in files

settings_of_the_kernel(path) if lines.below(path, directories)

# Where a slash is the first to part a key, slashes part it and dots are names' own; else the other way round.
canonical(key) := replace(replace(key, ".", "_"), "/", ".") if regex.match(`^[^.{]*/`, key)

else := replace(key, "/", "_")

# The first word, without the zeros and the base that may stand before a number.
number(value) := regex.replace(split(value, " ")[0], `^(?:0[xX]0*|0+)([0-9a-fA-F])`, "$1")

# Asked first, and at once of all keys: most names end like none of them.
suspicious(name) if strings.any_suffix_match(name, last_parts)

suspicious(name) if regex.match(`[*?\[$]`, name)

last_parts := {regex.replace(regex.replace(entry, `!?=.*`, ""), `.*[.*?}\]]`, "") | some entry in input.parameters.refused}

refused(name, value) if {
	some entry in input.parameters.refused
	[key, rest] := array.slice(array.concat(regex.split(`!?=`, entry), [""]), 0, 2)
	same(key, name)
	concerns(entry, rest, value)
}

same(key, name) if glob.match(key, ["."], name)

# A key may itself be a pattern, or hold a reference that turns out to be anything.
same(key, name) if {
	regex.match(`[*?\[$]`, name)
	glob.match(pattern(name), ["."], replace(key, "*", "all"))
}

# What a glob may not hold would be an error, so it stands for any one character.
pattern(name) := regex.replace(regex.replace(regex.replace(name, `\$\{[^}]*\}`, "**"), `\[[^\]]*\]`, "?"), `[^A-Za-z0-9_.*?-]`, "?")

concerns(_, "", _)

concerns(entry, rest, value) if {
	contains(entry, "!=")
	not value == rest
}

concerns(entry, rest, rest) if not contains(entry, "!=")

concerns(_, _, value) if contains(value, "${")
