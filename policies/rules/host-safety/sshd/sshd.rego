# METADATA
# title: Logging in by ssh takes a key, and never as root
# description: |
#   Passwords are guessed, all day, on every host that the network can reach; an account that nobody may log in to as root
#   leaves a trace of who it was. sshd takes the first value that it reads, so a drop-in with a low number wins over the
#   distribution's. parameters.refused are `keyword=value`, in lower case.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   finished: true
#   severity: deny
#   code: host-safety/sshd
#   remedy: leave it out, or set it to the safe value; give people keys or certificates, and sudo for what needs root
#   parameters:
#     refused:
#       - permitrootlogin=yes
#       - permitrootlogin=prohibit-password
#       - permitrootlogin=without-password
#       - permitrootlogin=forced-commands-only
#       - passwordauthentication=yes
#       - kbdinteractiveauthentication=yes
#       - challengeresponseauthentication=yes
#       - permitemptypasswords=yes
#       - hostbasedauthentication=yes
#       - ignorerhosts=no
#       - strictmodes=no
#       - permituserenvironment=yes
package ordain.rules.host_safety.sshd

import data.ordain.result
import data.ordain.rules.lib.lines
import data.ordain.rules.lib.unseen

directory := "/etc/ssh/sshd_config.d"

files := ["/etc/ssh/sshd_config"]

deny contains result.at(rego.metadata.chain(), line.at, message) if {
	some i, file in input.object.spec.files
	of_sshd(file.path)
	some line in lines.of(i, file)
	[_, keyword, value] := regex.find_all_string_submatch_n(`^\s*([^\s=#]+)(?:\s*=\s*|\s+|$)([^#]*)`, lower(lines.bare(line.text)), 1)[0]
	why := refused(keyword, trim_space(value))
	message := sprintf("%s %s", [file.path, why])
}

deny contains result.at(rego.metadata.chain(), entry.at, unseen.message(entry)) if {
	some entry in unseen.at(array.concat(files, [directory]))
}

of_sshd(path) if path in files

of_sshd(path) if lines.below(path, [directory])

refused(keyword, value) := sprintf("sets %s to %s", [keyword, first]) if {
	first := split(value, " ")[0]
	sprintf("%s=%s", [keyword, first]) in input.parameters.refused
}

# A reference may turn out to be any value.
else := sprintf("sets %s to %s", [keyword, value]) if {
	contains(value, "${")
	some entry in input.parameters.refused
	startswith(entry, concat("", [keyword, "="]))
}

else := "takes a keyword from a reference, which may turn out to be any" if contains(keyword, "${")

else := sprintf("includes %s, which nobody judged", [value]) if {
	keyword == "include"
	not regex.match(`^(?:(?:/etc/ssh/)?sshd_config\.d/[^/\s]+(?:\s+|$))+$`, value)
}

else := sprintf("takes keys that let people in from %s", [value]) if {
	keyword == "authorizedkeysfile"
	not regex.match(`^(?:(?:none|(?:%h/)?\.ssh/authorized_keys2?)(?:\s+|$))+$`, value)
}
