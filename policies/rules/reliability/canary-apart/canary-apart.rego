# METADATA
# title: The canaries have something in common with the fleet
# description: |
#   Canaries that share no label with any host that comes later are another kind of machine: that a release is well there
#   says nothing. The labels by which the first wave selects, and those that all members have, are left out of account.
# schemas:
#   - input: schema.input
# custom:
#   scope: release
#   severity: warn
#   code: reliability/canary-apart
#   remedy: give the canary's label to agents that are like the others, or let the first wave take a share of the fleet
package ordain.rules.reliability.canary_apart

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["fleet", "spec", "rollout", "waves", 0, "matchLabels"], message) if {
	wave := input.fleet.spec.rollout.waves[0]
	count(wave.matchLabels) > 0
	some member in input.members
	object.subset(member.labels, wave.matchLabels)
	count(mix(later)) > 0
	count(mix(canaries) & mix(later)) == 0
	message := sprintf("no member of the first wave, %s, shares a label with a host that comes after it", [wave.name])
}

selector := input.fleet.spec.rollout.waves[0].matchLabels

canaries := [member.labels | some member in input.members; object.subset(member.labels, selector)]

later := [member.labels | some member in input.members; not object.subset(member.labels, selector)]

# What each host says of itself beside what is the same everywhere, as pairs.
mix(hosts) := {[label, value] |
	some labels in hosts
	some label, value in labels
	not label in object.keys(selector)
	not everywhere(label, value)
}

everywhere(label, value) if every member in input.members {
	member.labels[label] == value
}
