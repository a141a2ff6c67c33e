# METADATA
# title: A change reaches a limited share of the agents with one label
# description: |
#   Half of all agents may be every agent of one region, or both nodes of a pair. Off until parameters.labels says which
#   labels make agents belong together; values with fewer than parameters.least agents pass. A pool counts as its maximum.
# schemas:
#   - input: schema.input
# custom:
#   scope: change
#   severity: warn
#   code: change/label-share
#   remedy: split the change, so that part of them is left if it goes wrong
#   needs: [labels]
#   parameters:
#     labels: []
#     share: 50%
#     least: 4
package ordain.rules.change.label_share

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["impact", "by_label", label, value], message) if {
	some label in input.parameters.labels
	some value, hit in input.change.impact.by_label[label]
	total := input.change.impact.total_by_label[label][value]
	total >= input.parameters.least
	hit * 100 > total * to_number(trim_suffix(input.parameters.share, "%"))
	message := sprintf("this change reaches %v of %v agents with %s=%s, more than %s", [
		hit,
		total,
		label,
		value,
		input.parameters.share,
	])
}
