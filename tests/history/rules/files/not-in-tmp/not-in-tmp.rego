# METADATA
# title: Files do not lie under /tmp
# description: A reboot empties /tmp, and the file would be drift from then on.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: files/in-tmp
#   remedy: choose a path that survives a reboot
package ordain.custom.files.not_in_tmp

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "path"], message) if {
	some i, file in input.object.spec.files
	startswith(file.path, "/tmp/")
	message := sprintf("%s does not survive a reboot", [file.path])
}
