# METADATA
# title: Addresses name a version
# description: |
#   An address such as …/latest/app leads to another file tomorrow. The digest keeps hosts from running that, so what
#   happens is that no new host can be set up, in the middle of the night, because upstream released something.
#   parameters.segments are whole parts of a path or query, parameters.words stand between - _ and . in one;
#   parameters.channels are parts that float unless the address names a version (1.2) too.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: supply-chain/floating-version
#   remedy: use the address of one version, or put the file into the store (store:<name>)
#   parameters:
#     segments: [main, master, trunk, head, heads, develop]
#     words: [latest, nightly, snapshot, newest]
#     channels: [stable, current, edge]
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

floating_parts(url) := ({part | some part in parts(url); part in input.parameters.segments} | {word |
	some part in parts(url)
	some word in regex.split(`[-_.]`, part)
	word in input.parameters.words
}) | {part |
	found := parts(url)
	some part in found
	part in input.parameters.channels
	not names_a_version(found)
}

names_a_version(found) if {
	some part in found
	regex.match(`(?:^|[^0-9.])v?[0-9]+\.[0-9]`, part)
}

# Debian's archives have all fixed versions below pool/main.
parts(url) := regex.split(`[^a-z0-9._-]+`, replace(after_host(lower(decoded(url))), "/pool/main/", "/"))

# A `%` that no two digits follow is no escape, and would be an error.
decoded(url) := urlquery.decode(url) if not regex.match(`%(?:$|[^0-9A-Fa-f]|[0-9A-Fa-f](?:$|[^0-9A-Fa-f]))`, url)

else := url

after_host(url) := regex.replace(url, `^https?://[^/?#]*`, "") if regex.match(`^https?:`, url)

# What is in the store, or on the host, is nobody else's to replace.
else := ""
