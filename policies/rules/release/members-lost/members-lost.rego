# METADATA
# title: A release keeps most of the fleet's members
# description: |
#   A selector or a label that is misspelt takes hosts out of their fleet. They keep what they have, get nothing new, and
#   nobody hears of it until a fix does not reach them. Fleets of fewer than parameters.least members pass.
# schemas:
#   - input: schema.input
# custom:
#   scope: release
#   severity: warn
#   code: release/members-lost
#   remedy: compare spec.selector with the labels of those that go; if they should, move them in several changes
#   parameters:
#     share: 50%
#     least: 4
package ordain.rules.release.members_lost

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["fleet", "spec", "selector"], message) if {
	before := names(input.old.members)
	count(before) >= input.parameters.least
	lost := before - names(input.members)
	count(lost) * 100 > count(before) * to_number(trim_suffix(input.parameters.share, "%"))
	message := sprintf("%d of %d members leave this fleet, %s among them", [count(lost), count(before), sort(lost)[0]])
}

names(members) := {member.name | some member in members}
