# METADATA
# title: What runs when somebody logs in is theirs
# description: |
#   A start-up file in a home runs with that account's rights, root's among them, at a moment that nobody watches; it is
#   where malware stays. What all shells of a host need goes into /etc/profile.d, in the open.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: host-safety/login-script
#   remedy: put it into /etc/profile.d, or into the environment of the service that needs it
package ordain.rules.host_safety.login_scripts

import data.ordain.result

in_a_home := `^(/root|/home/[^/]+|/var/lib/[^/]+)/\.`

read_at_login := `/\.(bash(rc|_profile|_login|_logout|_aliases)|profile|z(shrc|shenv|profile|login|logout)|kshrc|t?cshrc|login|logout|netrc|rhosts|shosts|forward|pam_environment|inputrc|config/(autostart|systemd/user|environment\.d)/.+)$`

deny contains result.at(rego.metadata.chain(), ["spec", section, i, "path"], message) if {
	some section in ["files", "artifacts"]
	some i, entry in input.object.spec[section]
	regex.match(in_a_home, entry.path)
	regex.match(read_at_login, entry.path)
	not entry.absent
	message := sprintf("%s is run or believed when that account logs in", [entry.path])
}
