# METADATA
# title: Components and fleets name an owner
# description: |
#   The person on call at night must know whom to ask. The label in parameters.label says it.
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   severity: warn
#   code: hygiene/no-owner
#   remedy: 'add a label such as metadata: {labels: {owner: team-web}}'
#   parameters:
#     label: owner
package ordain.rules.hygiene.owner

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["metadata", "labels", input.parameters.label], message) if {
	input.object.kind in {"Component", "Fleet"}
	not owned
	message := sprintf("nobody is named as owner (label %s)", [input.parameters.label])
}

owned if count(input.object.metadata.labels[input.parameters.label]) > 0
