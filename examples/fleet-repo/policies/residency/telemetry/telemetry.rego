# METADATA
# title: Telemetry stays in its region
# description: |
#   Traces and logs hold what customers did. Hosts in the regions of parameters.regions send them only to endpoints whose
#   host ends in one of parameters.suffixes. A variant for such a region is where a fleet says so.
# schemas:
#   - input: schema.input
#   - input.object: schema.fleet
# custom:
#   scope: object
#   severity: deny
#   code: residency/telemetry
#   remedy: use the endpoint of that region; its names end in what parameters.suffixes lists
#   parameters:
#     regions: [eu]
#     suffixes: [.eu.example.com]
package ordain.custom.residency.telemetry

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "variants", i, "parameters", component, "endpoint"], message) if {
	some i, variant in input.object.spec.variants
	variant.matchLabels.region in input.parameters.regions
	some component, parameters in variant.parameters
	not stays(host(parameters.endpoint))
	message := sprintf("hosts in %s would send to %s, which lies elsewhere", [variant.matchLabels.region, parameters.endpoint])
}

stays(name) if {
	some suffix in input.parameters.suffixes
	endswith(name, suffix)
}

# Endpoints are written with and without a scheme and a port.
host(endpoint) := regex.replace(regex.replace(endpoint, `^https?://`, ""), `(:[0-9]+)?(/.*)?$`, "")
