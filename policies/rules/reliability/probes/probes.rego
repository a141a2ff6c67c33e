# METADATA
# title: What runs has a probe
# description: |
#   Without a probe a rollout can't tell a program that serves from one that crashes at every start: all waves pass, and
#   people find out. It asks for one in each component that has processes, services, or artifacts that can be executed.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: warn
#   code: reliability/no-probe
#   remedy: 'add a probe that fails when it does not serve, such as {name: ready, http: "http://127.0.0.1:8080/health"}'
package ordain.rules.reliability.probes

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "probes"], message) if {
	not probed
	count(running) > 0
	message := sprintf("nothing notices when %s does not work", [concat(", ", running)])
}

probed if count(input.object.spec.probes) > 0

running contains entry.name if {
	some section in ["processes", "services"]
	some entry in input.object.spec[section]
	not object.get(entry, "state", "running") == "stopped"
}

running contains artifact.name if {
	some artifact in input.object.spec.artifacts
	regex.match(`[1357].?.?$`, artifact.mode)
}
