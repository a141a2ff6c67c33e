# METADATA
# title: Processes have a limit of memory
# description: |
#   A process that leaks takes the host's memory until the kernel ends some other one, often the one that everybody needs.
#   With a limit it ends itself, is started again, and shows in its fleet's health.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: warn
#   code: reliability/no-memory-limit
#   remedy: 'add limits: {memory: 256Mi}, about twice what it uses at work'
package ordain.rules.reliability.memory_limit

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", section, i, "limits", "memory"], message) if {
	some section, what in {"processes": "process", "containers": "container"}
	some i, process in input.object.spec[section]
	not process.limits.memory
	message := sprintf("%s %s may take all memory of its host", [what, process.name])
}
