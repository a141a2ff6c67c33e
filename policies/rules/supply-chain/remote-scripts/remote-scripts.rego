# METADATA
# title: Nothing that was just fetched is run
# description: |
#   `curl … | sh` runs whatever a server answers at that moment: no digest holds it, nobody reviewed it, and it may differ
#   from host to host. It looks at what files hold, and at the commands of checks, probes and processes.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: supply-chain/remote-script
#   remedy: make an artifact of it, with its digest, and run that
package ordain.rules.supply_chain.remote_scripts

import data.ordain.result
import data.ordain.rules.lib.lines

fetched := `\b(?:curl|wget)\s`

interpreter := `(?:\S*/)?(?:(?:ba|da|k|z)?sh|python[0-9.]*|perl|ruby|node)\b`

in_quotes := concat("", [`["']?(?:\$\(|<\(|`, "`", `)\s*`, fetched])

# Piped into an interpreter, given to one, or taken up by the shell itself. One shape, since it looks at every line.
shape := concat("|", [
	concat("", [fetched, `[^;]*\|\s*(?:sudo\s+(?:-\S+\s+)*)?`, interpreter]),
	concat("", [`\b`, interpreter, `\s+(?:-\S+\s+)*`, in_quotes]),
	concat("", [`\b(?:eval|source)\s+`, in_quotes]),
])

deny contains result.at(rego.metadata.chain(), line.at, message) if {
	some i, file in input.object.spec.files
	some line in lines.of(i, file)
	regex.match(fetched, line.text) # a tenth of what the shape costs, and most lines fetch nothing
	regex.match(shape, line.text)
	not regex.match(`^\s*(#|//)`, line.text)
	message := sprintf("%s runs what it fetches", [file.path])
}

deny contains result.at(rego.metadata.chain(), command.at, "this command runs what it fetches") if {
	some command in commands
	regex.match(shape, concat(" ", command.words))
}

commands contains {"at": ["spec", section, i, "command"], "words": entry.command} if {
	some section in ["processes", "probes"]
	some i, entry in input.object.spec[section]
}

commands contains {"at": ["spec", "files", i, "check"], "words": file.check} if some i, file in input.object.spec.files
