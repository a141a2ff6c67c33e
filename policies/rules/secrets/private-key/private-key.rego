# METADATA
# title: No private keys in manifests
# description: |
#   Whoever can read the repository, its history or a bundle has the key. It looks at every text of a manifest and at
#   the source files of a component. The finding never repeats what it found.
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   severity: deny
#   code: secrets/private-key
#   sensitive: true
#   remedy: remove it, replace the key everywhere it is used (git remembers it), and let hosts get it by ${secret.…}
package ordain.rules.secrets.private_key

import data.ordain.result

shape := `-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{20}|PuTTY-User-Key-File-[0-9]:`

# One look at all of a manifest, since hardly any has one.
suspicious if {
	text := json.marshal(input.object)
	some word in ["PRIVATE KEY", "AGE-SECRET-KEY-1", "PuTTY-User-Key-File-"]
	contains(text, word)
}

deny contains result.at(rego.metadata.chain(), path, "this text holds a private key") if {
	suspicious
	walk(input.object, [path, text])
	is_string(text)
	regex.match(shape, text)
}

deny contains result.at(rego.metadata.chain(), ["sources", source, n], message) if {
	some source, text in input.sources
	some n, line in split(text, "\n")
	regex.match(shape, line)
	message := sprintf("%s holds a private key", [source])
}
