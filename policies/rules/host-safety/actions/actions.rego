# METADATA
# title: Actions run only what was allowed
# description: |
#   An action runs any command on every host of a fleet, as root mostly, and nobody can take back what it did: neither a
#   rollback nor a plan knows what it changes. So none may run until parameters.allow has its command: a program, or a
#   program with its first arguments, as they are written in the manifest.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   finished: true
#   severity: deny
#   code: host-safety/action
#   remedy: use restartOn, reloadOn or a check instead, or have the command allowed in ordain.yaml (parameters.allow)
#   parameters:
#     allow: []
package ordain.rules.host_safety.actions

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "actions", i, "run"], message) if {
	some i, action in input.object.spec.actions
	not allowed(action.run)
	message := sprintf("action %s runs %s, which nobody has allowed", [action.name, action.run[0]])
}

allowed(run) if {
	some entry in input.parameters.allow
	words := split(entry, " ")
	words == array.slice(run, 0, count(words))
}
