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
#   severity: deny
#   code: host-safety/sshd
#   remedy: leave it out, or set it to the safe value; give people keys or certificates, and sudo for what needs root
#   parameters:
#     refused:
#       - permitrootlogin=yes
#       - passwordauthentication=yes
#       - permitemptypasswords=yes
#       - hostbasedauthentication=yes
#       - ignorerhosts=no
#       - strictmodes=no
#       - permituserenvironment=yes
package ordain.rules.host_safety.sshd

import data.ordain.result
import data.ordain.rules.lib.lines

deny contains result.at(rego.metadata.chain(), line.at, message) if {
	some i, file in input.object.spec.files
	of_sshd(file.path)
	some line in lines.of(i, file)
	[_, keyword, value] := regex.find_all_string_submatch_n(`^\s*([a-z]+)(?:\s*=\s*|\s+)"?([^"#\s]+)`, lower(line.text), 1)[0]
	refused(keyword, value)
	message := sprintf("%s sets %s to %s", [file.path, keyword, value])
}

of_sshd("/etc/ssh/sshd_config")

of_sshd(path) if lines.below(path, ["/etc/ssh/sshd_config.d"])

refused(keyword, value) if sprintf("%s=%s", [keyword, value]) in input.parameters.refused

# A reference may turn out to be any value.
refused(keyword, value) if {
	startswith(value, "${")
	some entry in input.parameters.refused
	startswith(entry, concat("", [keyword, "="]))
}
