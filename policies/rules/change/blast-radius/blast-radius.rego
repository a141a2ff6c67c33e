# METADATA
# title: A change reaches a limited share of all hosts
# description: |
#   Asked once for everything between the examined head and the new one: how many agents get another release out of it.
#   Estates of fewer than parameters.least agents pass; a pool counts as its maximum.
# schemas:
#   - input: schema.input
# custom:
#   scope: change
#   severity: warn
#   code: change/blast-radius
#   remedy: split the change, or begin with the fleet or region that can take a fault best
#   parameters:
#     share: 50%
#     least: 20
package ordain.rules.change.blast_radius

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["impact", "agents"], message) if {
	impact := input.change.impact
	impact.total >= input.parameters.least
	impact.agents * 100 > impact.total * percent(input.parameters.share)
	message := sprintf("this change reaches %v of %v agents, more than %s", [
		impact.agents,
		impact.total,
		input.parameters.share,
	])
}

percent(text) := to_number(trim_suffix(text, "%"))
