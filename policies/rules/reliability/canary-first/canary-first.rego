# METADATA
# title: The first wave is small
# description: |
#   A bad release should meet few hosts before anyone looks. The first wave either selects by labels or stays within
#   parameters.limit. A fleet that states no waves gets the default ones, which begin with 5 %.
# schemas:
#   - input: schema.input
#   - input.object: schema.fleet
# custom:
#   scope: object
#   severity: warn
#   code: reliability/no-canary
#   remedy: begin with a wave that has matchLabels (canary hosts) or a limit of 10% or less
#   parameters:
#     limit: 10%
package ordain.rules.reliability.canary_first

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "rollout", "waves", 0], message) if {
	wave := input.object.spec.rollout.waves[0]
	not selective(wave)
	share(wave) > percent(input.parameters.limit)
	message := sprintf("the first wave, %s, takes %v%% of the fleet; at most %s is a canary", [
		wave.name,
		share(wave),
		input.parameters.limit,
	])
}

selective(wave) if count(wave.matchLabels) > 0

# A wave without a limit and without labels takes everybody.
share(wave) := percent(object.get(wave, "limit", "100%"))

percent(text) := to_number(trim_suffix(text, "%"))
