# METADATA
# title: Addresses name a version
# description: |
#   An address such as …/latest/app leads to another file tomorrow. The digest keeps hosts from running that, so what
#   happens is that no new host can be set up, in the middle of the night, because upstream released something.
#   parameters.segments are whole parts of a path or query, parameters.words stand between - _ and . in one.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: supply-chain/floating-version
#   remedy: use the address of one version, or put the file into the store (store:<name>)
#   parameters:
#     segments: [main, master, trunk, head]
#     words: [latest, nightly, snapshot]
package ordain.rules.supply_chain.pinned_versions

import data.ordain.result
import data.ordain.rules.lib.addresses

deny contains result.at(rego.metadata.chain(), array.concat(address.at, ["url"]), message) if {
	some address in addresses.all
	floating := floating_parts(address.url)
	count(floating) > 0
	message := sprintf("artifact %s is fetched from an address that names no version, but %s", [
		address.name,
		concat(", ", floating),
	])
}

floating_parts(url) := {part | some part in parts(url); part in input.parameters.segments} | {word |
	some part in parts(url)
	some word in regex.split(`[-_.]`, part)
	word in input.parameters.words
}

# Debian's archives have all fixed versions below pool/main.
parts(url) := regex.split(`[/?&=#@]`, replace(after_host(lower(url)), "/pool/main/", "/"))

after_host(url) := regex.replace(url, `^https?://[^/?#]*`, "") if regex.match(`^https?:`, url)

# What is in the store, or on the host, is nobody else's to replace.
else := ""
