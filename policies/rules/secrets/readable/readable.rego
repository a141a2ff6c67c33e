# METADATA
# title: Files with secrets are not for every account
# description: |
#   A secret that a host fills in is kept out of git and of bundles, so that it reaches one service; a file that every
#   account of the host may read hands it to all of them. A file that states no mode has 0600 if it holds a secret.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: secrets/readable
#   remedy: leave the mode out, or make it "0600" or less, and give the file the owner that needs it
package ordain.rules.secrets.readable

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "mode"], message) if {
	some i, file in input.object.spec.files
	readable_by_all(object.get(file, "mode", "0600"))
	has_secret(file)
	message := sprintf("%s holds a secret, and every account of the host may read it", [file.path])
}

readable_by_all(mode) if regex.match(`[4-7]$`, mode)

has_secret(file) if refers(file.content)

has_secret(file) if refers(input.sources[file.source])

# The whole text at once: line by line it costs thirty times as much.
refers(text) if regex.match(`(^|[^$])(\$\$)*\$\{secret\.`, text)
