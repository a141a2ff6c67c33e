# METADATA
# title: Each wave that selects by labels selects somebody
# description: |
#   A wave whose labels no member has, and that has no limit, proves nothing: each release stops there, until somebody gives
#   hosts the labels or changes the strategy. A fleet that has no members yet is left out of account.
# schemas:
#   - input: schema.input
# custom:
#   scope: release
#   severity: warn
#   code: reliability/empty-wave
#   remedy: give members of the fleet the wave's labels, or correct or leave out the wave
package ordain.rules.reliability.empty_wave

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["fleet", "spec", "rollout", "waves", index, "matchLabels"], message) if {
	count(input.members) > 0
	some index, wave in input.fleet.spec.rollout.waves
	not wave.limit
	every member in input.members {
		not object.subset(member.labels, wave.matchLabels)
	}
	message := sprintf("wave %s selects no member of the fleet, so each release is held there", [wave.name])
}
