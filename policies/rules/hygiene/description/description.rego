# METADATA
# title: Tenants, components and fleets say what they are for
# description: |
#   A name tells little in a year. spec.description is shown wherever an object is.
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   severity: warn
#   code: hygiene/no-description
#   remedy: say in spec.description, in one line, what it is for
package ordain.rules.hygiene.description

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "description"], message) if {
	input.object.kind in {"Component", "Fleet", "Tenant"}
	not described
	message := sprintf("%s %s does not say what it is for", [input.object.kind, input.object.metadata.name])
}

described if count(trim_space(input.object.spec.description)) > 0
