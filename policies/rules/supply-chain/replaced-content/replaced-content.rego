# METADATA
# title: What an address leads to does not change
# description: |
#   A new digest at the same address means that somebody replaced the file there: the publisher, who may do it again, or
#   whoever broke into their server. That is how most poisoned releases were delivered. Files of the store, or of the
#   host, are the repository's own to replace.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: supply-chain/replaced-content
#   remedy: find out who replaced it and why; if it is right, use the address of a new version, or take it into the store
package ordain.rules.supply_chain.replaced_content

import data.ordain.result
import data.ordain.rules.lib.addresses

deny contains result.at(rego.metadata.chain(), array.concat(address.at, ["sha256"]), message) if {
	some address in addresses.all
	regex.match(`^https?:`, lower(address.url))
	before := digests_before[address.url]
	not address.digest in before
	message := sprintf("%s had another digest until now", [address.shown])
}

digests_before[address.url] contains address.digest if {
	some address in addresses.all with input.object as input.old
}
