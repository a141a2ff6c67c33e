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
import data.ordain.rules.lib.unseen

# Wherever it lies: any directory may be a home, and those in /etc/skel are copied to new ones.
read_at_login := concat("", [
	`/\.(bash(rc|_profile|_login|_logout|_aliases)|x?profile|xsession(rc)?|xinitrc|z(shrc|shenv|profile|login|logout)|kshrc|t?cshrc|login|logout|`,
	`netrc|rhosts|shosts|forward|pam_environment|inputrc|config/(autostart|systemd/user|environment\.d|fish/conf\.d)/.+|`,
	`config/fish/(config\.fish|functions/.+)|local/share/systemd/user/.+)$`,
])

# A home, or a directory in it that start-up files lie in.
in_a_home := `^(/root|/home(/[^/]+)?|/etc/skel)(/\.config(/autostart|/environment\.d|/fish(/conf\.d|/functions)?|/systemd(/user)?)?|/\.local(/share(/systemd(/user)?)?)?)?$`

deny contains result.at(rego.metadata.chain(), ["spec", section, i, "path"], message) if {
	some section in ["files", "artifacts", "hostFiles"]
	some i, entry in input.object.spec[section]
	regex.match(read_at_login, entry.path)
	not entry.absent
	message := sprintf("%s is run or believed when that account logs in", [entry.path])
}

deny contains result.at(rego.metadata.chain(), entry.at, unseen.message(entry)) if {
	some entry in unseen.all
	regex.match(in_a_home, entry.path)
}
