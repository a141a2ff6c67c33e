# METADATA
# title: Few releases pass a freeze
# description: |
#   A fleet whose rollout is marked critical passes freezes and a spent error budget while the mark lasts. Nobody may do so
#   unless parameters.fleets names the fleet, as `<tenant>/<fleet>`; for a single fix during an incident, a waiver with a
#   reason and an end lets it through, and is on record.
# schemas:
#   - input: schema.input
#   - input.object: schema.fleet
# custom:
#   scope: object
#   severity: deny
#   code: reliability/critical-release
#   remedy: take the mark out, have the fleet named in the rule's parameters, or waive it with a reason and an end
#   parameters:
#     fleets: []
package ordain.rules.reliability.critical_release

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "rollout", "critical"], message) if {
	input.object.spec.rollout.critical
	name := sprintf("%s/%s", [input.object.metadata.tenant, input.object.metadata.name])
	not name in input.parameters.fleets
	message := sprintf("releases of %s are marked critical, which passes freezes, and it is not among those that may", [name])
}
