# METADATA
# title: No passwords in addresses
# description: |
#   An address stands in logs, in process lists, in error messages and in proxies; a password in it stands there too.
#   It looks at every text of a manifest and at the source files of a component. A reference in the password's place
#   passes, unless a label or a parameter brings the password. The finding never repeats what it found.
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   finished: true
#   severity: deny
#   code: secrets/password-in-address
#   sensitive: true
#   remedy: take it out, change it where it is used (git remembers it), and put the password on hosts by other means than git
package ordain.rules.secrets.password_in_address

import data.ordain.result
import data.ordain.rules.lib.secrets

shape := "[A-Za-z][A-Za-z0-9+.-]*://[^\\s/?#@:\"'`<>]*:([^\\s/?#@\"'`<>]+)@"

deny contains result.at(rego.metadata.chain(), path, "an address in this text holds a password") if {
	contains(secrets.whole, "@") # many manifests hold an address, few one with somebody in it
	some path, found in secrets.matches(["://"], shape)
	not stands_for_one(found[1])
}

deny contains result.at(rego.metadata.chain(), path, "an address in this text holds a password") if {
	secrets.suspicious(words_in_queries)
	some path, found in secrets.matches(words_in_queries, in_a_query)
	not stands_for_one(found[1])
}

words_in_queries := ["password=", "passwd=", "pwd="]

in_a_query := "(?i)://[^\\s\"'`<>]*[?&;](?:password|passwd|pwd)=([^\\s&;\"'`<>]+)"

# A reference, a variable of a shell or template, or a row of stars.
stands_for_one(word) if regex.match(stand_in, word)

stand_in := `^(?:\$[{(].*|\$(?:[A-Z_][A-Z0-9_]*|[a-z_]*(?:pass|pw|secret|token|key)[a-z_]*|[0-9])|\{\{.*|%\(.*|%[A-Z_]+%|%[sdv]|[*xX.…]+)$`
