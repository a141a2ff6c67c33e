# METADATA
# title: Nothing is writable by everybody
# description: |
#   What every account of a host may change, a single hacked process can turn against the others.
#   A directory with the sticky bit ("1777", as /tmp has) passes: there, everybody owns only what is their own.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: host-safety/world-writable
#   remedy: take the write bit from others (the last digit), and name an owner or group instead
package ordain.rules.host_safety.world_writable

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", section, i, "mode"], message) if {
	some section in ["files", "artifacts"]
	some i, entry in input.object.spec[section]
	writable_by_others(entry.mode)
	not sticky_directory(entry)
	not entry.type == "symlink" # the kernel looks at no mode of one
	message := sprintf("%s has mode %s, which lets every account of the host write it", [entry.path, entry.mode])
}

writable_by_others(mode) if regex.match(`[2367]$`, mode)

sticky_directory(entry) if {
	entry.type == "directory"
	regex.match(`^[1357]`, entry.mode)
}
