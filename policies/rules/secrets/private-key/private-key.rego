# METADATA
# title: No private keys in manifests
# description: |
#   Whoever can read the repository, its history or a bundle has the key. It looks at every text of a manifest and at
#   the source files of a component. The finding never repeats what it found.
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   finished: true
#   severity: deny
#   code: secrets/private-key
#   sensitive: true
#   waivable: false
#   remedy: remove it, replace the key everywhere it is used (git remembers it), and put it on hosts by other means than git
package ordain.rules.secrets.private_key

import data.ordain.result
import data.ordain.rules.lib.secrets

shape := concat("|", [
	`-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|---- BEGIN SSH2 (?:ENCRYPTED )?PRIVATE KEY ----`,
	`AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{20}|PuTTY-User-Key-File-[0-9]:|\b(?:PrivateKey|PresharedKey)\s*=\s*[A-Za-z0-9+/]{43}=`,
	in_base64,
])

# `-----BEGIN ` in base64, and `PRIVATE KEY` at each of the three places where it may begin.
in_base64 := `LS0tLS1CRUdJTi[A-Za-z0-9+/]{0,24}(?:UFJJVkFURSBLRV|BSSVZBVEUgS0VZ|QUklWQVRFIEtFW)`

words := ["PRIVATE KEY", "AGE-SECRET-KEY-1", "PuTTY-User-Key-File-", "PrivateKey", "PresharedKey", "LS0tLS1CRUdJTi"]

deny contains result.at(rego.metadata.chain(), all_of(path), "this text holds a private key") if {
	some path in secrets.places(words, shape)
}

# A key begins like any other, so what ends is found with all its lines: another key there is another finding.
all_of(path) := array.concat(path, [last]) if {
	first := path[count(path) - 1]
	lines := secrets.lines_at(array.slice(path, 0, count(path) - 1))
	regex.match(`BEGIN |^PuTTY-`, lines[first])
	last := [n | some n, line in lines; n >= first; regex.match(`---- ?END |^Private-MAC:`, line)][0]
} else := path
