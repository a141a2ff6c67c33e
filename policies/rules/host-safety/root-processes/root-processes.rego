# METADATA
# title: Processes do not run as root
# description: |
#   A process that runs as root gives the whole host to whoever finds one fault in it. One that names no user runs as root
#   too. parameters.allowed are names of processes that need it, a node exporter of hardware counters, say.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: host-safety/root-process
#   remedy: 'give it an account of its own (user: app), or name it in parameters.allowed'
#   parameters:
#     allowed: []
package ordain.rules.host_safety.root_processes

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "processes", i, "user"], message) if {
	some i, process in input.object.spec.processes
	object.get(process, "user", "root") in {"root", "0"}
	not process.name in input.parameters.allowed
	message := sprintf("process %s runs as root", [process.name])
}
