# METADATA
# title: Nobody gets a way in by ssh keys that a fleet hands out
# description: |
#   A key in authorized_keys is an account on every host of the fleet, for as long as the file stays, and nothing asks
#   twice. It is also what an attacker with a foot in a repository adds first. Give people access by certificates or a
#   directory, which can be taken back; parameters.homes are the homes of accounts for which files are right.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: host-safety/ssh-keys
#   remedy: use TrustedUserCAKeys in a drop-in of sshd, or name the account's home in parameters.homes
#   parameters:
#     homes: []
package ordain.rules.host_safety.ssh_keys

import data.ordain.result
import data.ordain.rules.lib.lines

deny contains result.at(rego.metadata.chain(), ["spec", section, i, "path"], message) if {
	some section in ["files", "artifacts", "hostFiles"]
	some i, entry in input.object.spec[section]
	regex.match(`/\.ssh(/|$)|^/etc/ssh/authorized_keys|/authorized_keys2?$`, entry.path)
	not entry.absent
	not lines.below(entry.path, input.parameters.homes)
	message := sprintf("%s decides who may log in", [entry.path])
}
