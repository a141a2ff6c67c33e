# METADATA
# title: The canaries are like the rest of the fleet
# description: |
#   A canary in one region says nothing about another with its own endpoint, kernel or hardware. Off until
#   parameters.labels says which labels make a difference (region, platform, …): then the first wave, where it selects by
#   labels, must have a member for each of their values that the fleet has.
# schemas:
#   - input: schema.input
# custom:
#   scope: release
#   severity: warn
#   code: reliability/canary-mix
#   remedy: give one agent of each kind the canary's label, or let the first wave take a share of the fleet instead
#   needs: [labels]
#   parameters:
#     labels: []
package ordain.rules.reliability.canary_mix

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["fleet", "spec", "rollout", "waves", 0, "matchLabels"], message) if {
	wave := input.fleet.spec.rollout.waves[0]
	wanted := wave.matchLabels
	some label in input.parameters.labels
	everywhere := {member.labels[label] | some member in input.members}
	canaries := {member.labels[label] | some member in input.members; object.subset(member.labels, wanted)}
	missing := everywhere - canaries
	count(missing) > 0
	message := sprintf("no member of the first wave, %s, has %s %s", [wave.name, label, concat(", ", missing)])
}
