# METADATA
# title: Artifacts come over HTTPS
# description: |
#   An artifact fetched without TLS tells everyone on the way which software a fleet runs. Its digest is checked
#   in any case. Fetching from a file of the host, or from ordain's own store, stays allowed.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: supply-chain/insecure-url
#   remedy: use the https:// address of the same artifact, or put it into the store (store:<name>)
#   parameters:
#     schemes: [https, store, file]
package ordain.rules.supply_chain.https_only

import data.ordain.result
import data.ordain.rules.lib.addresses

deny contains result.at(rego.metadata.chain(), array.concat(address.at, ["url"]), message) if {
	some address in addresses.all
	not permitted(address.url)
	message := sprintf("artifact %s is fetched from %s, which is not one of %s", [
		address.name,
		address.shown,
		concat(", ", input.parameters.schemes),
	])
}

permitted(url) if {
	some scheme in input.parameters.schemes
	startswith(lower(url), concat("", [scheme, ":"]))
}
