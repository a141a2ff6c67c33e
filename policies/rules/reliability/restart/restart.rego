# METADATA
# title: Processes are started again when they end
# description: |
#   A process that is never started again is gone after its first fault, on one host after the other, and a fleet gets
#   smaller without anybody having changed it.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: warn
#   code: reliability/no-restart
#   remedy: 'leave restart out (always), or set restart: on-failure'
package ordain.rules.reliability.restart

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", section, i, "restart"], message) if {
	some section, what in {"processes": "process", "containers": "container"}
	some i, process in input.object.spec[section]
	process.restart == "never"
	message := sprintf("%s %s is gone after its first fault", [what, process.name])
}
