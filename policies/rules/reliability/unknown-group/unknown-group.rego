# METADATA
# title: Hosts are counted by a label that they have
# description: |
#   maxUnavailable.label bounds how many hosts of each rack, say, apply at once. Where no member has that label, all count as
#   one group: releases are slower than they need be, and a word that was mistyped is not noticed.
# schemas:
#   - input: schema.input
# custom:
#   scope: release
#   severity: warn
#   code: reliability/unknown-group
#   remedy: give the members that label, correct its name, or leave it out where all may count together
package ordain.rules.reliability.unknown_group

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["fleet", "spec", "rollout", "maxUnavailable", "label"], message) if {
	label := input.fleet.spec.rollout.maxUnavailable.label
	count(input.members) > 0
	every member in input.members {
		not member.labels[label]
	}
	message := sprintf("no member of the fleet has the label %s, so all hosts count as one group", [label])
}
