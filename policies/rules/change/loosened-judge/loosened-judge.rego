# METADATA
# title: Loosening the rules is seen
# description: |
#   A rule that is taken away, or told to warn where it denied, lets everything pass that it held back. Each one is said by
#   itself, so that a reviewer sees it between the other lines of a change.
# schemas:
#   - input: schema.input
# custom:
#   scope: change
#   severity: warn
#   code: change/loosened-judge
#   remedy: have the owners of the rules look at it; an override for one path is often enough
package ordain.rules.change.loosened_judge

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["judge", "loosened", i], message) if {
	some i, how in input.change.judge.loosened
	message := sprintf("this change loosens the rules: %s", [how])
}
