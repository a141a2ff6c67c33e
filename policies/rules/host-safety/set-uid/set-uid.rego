# METADATA
# title: Nothing runs with another account's rights
# description: |
#   A set-uid or set-gid program acts as its owner for whoever starts it, which is how most local attacks become root.
#   A set-gid directory only hands its group down to new files, so it passes.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: host-safety/set-uid
#   remedy: begin the mode with 0, and let a service run as the account it needs, or grant one command in /etc/sudoers.d
package ordain.rules.host_safety.set_uid

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", section, i, "mode"], message) if {
	some section in ["files", "artifacts"]
	some i, entry in input.object.spec[section]
	regex.match(`^[2-7]`, entry.mode)
	not set_gid_directory(entry)
	message := sprintf("%s has mode %s, so it runs with its owner's rights, whoever starts it", [entry.path, entry.mode])
}

set_gid_directory(entry) if {
	entry.type == "directory"
	regex.match(`^[23]`, entry.mode)
}
