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

deny contains result.at(rego.metadata.chain(), address.path, message) if {
	some address in addresses
	not permitted(address.url)
	message := sprintf("artifact %s is fetched from %s, which is not one of %s", [
		address.name,
		address.url,
		concat(", ", input.parameters.schemes),
	])
}

permitted(url) if {
	some scheme in input.parameters.schemes
	startswith(lower(url), concat("", [scheme, ":"]))
}

addresses contains {"name": artifact.name, "url": artifact.url, "path": ["spec", "artifacts", i, "url"]} if {
	some i, artifact in input.object.spec.artifacts
}

addresses contains {"name": artifact.name, "url": source.url, "path": path} if {
	some i, artifact in input.object.spec.artifacts
	some platform, source in artifact.platforms
	path := ["spec", "artifacts", i, "platforms", platform, "url"]
}
