# METADATA
# title: Rules and hosts change apart
# description: |
#   A change that alters the rules and what they judge at once is how somebody lets their own change pass, and it is hard to
#   review even where it is honest. The first import of a repository passes.
# schemas:
#   - input: schema.input
# custom:
#   scope: change
#   severity: warn
#   code: change/rules-with-hosts
#   remedy: bring in the rules first, in a change of their own
package ordain.rules.change.rules_apart

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["judge", "changed"], message) if {
	not is_null(input.change.from)
	input.change.judge.changed
	input.change.impact.agents > 0
	message := sprintf("this change alters the rules, and what runs on hosts (agents hit: %v)", [input.change.impact.agents])
}
