# METADATA
# title: A person approves what reaches production
# description: |
#   Probes tell whether a service answers, not whether it is right. Off until parameters.production says which labels mark
#   production (`env=production`): then a fleet with such members needs a wave that waits for approval.
# schemas:
#   - input: schema.input
# custom:
#   scope: release
#   severity: warn
#   code: reliability/no-approval
#   remedy: 'add approval: required to the first wave that reaches production'
#   needs: [production]
#   parameters:
#     production: []
package ordain.rules.reliability.production_approval

import data.ordain.result
import data.ordain.rules.lib.production

deny contains result.at(rego.metadata.chain(), ["fleet", "spec", "rollout", "waves"], message) if {
	count(production.members) > 0
	not approved
	message := sprintf("%d members are production, and no wave waits for approval", [count(production.members)])
}

approved if {
	some wave in input.fleet.spec.rollout.waves
	wave.approval == "required"
}
