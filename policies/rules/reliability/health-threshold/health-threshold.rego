# METADATA
# title: A wave succeeds on evidence
# description: |
#   With a low threshold a wave passes while hosts fail; with a low quorum it passes while hardly any host says how it is.
#   Then waves are only a slow way of breaking everything.
# schemas:
#   - input: schema.input
#   - input.object: schema.fleet
# custom:
#   scope: object
#   severity: warn
#   code: reliability/low-threshold
#   remedy: raise it, or leave it out to get the default (successThreshold 95%, quorum 80%)
#   parameters:
#     successThreshold: 80%
#     quorum: 20%
package ordain.rules.reliability.health_threshold

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "rollout", "health", field], message) if {
	some field in ["successThreshold", "quorum"]
	stated := input.object.spec.rollout.health[field]
	percent(stated) < percent(input.parameters[field])
	message := sprintf("%s is %s, less than %s", [field, stated, input.parameters[field]])
}

percent(text) := to_number(trim_suffix(text, "%"))
