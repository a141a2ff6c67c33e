# METADATA
# title: One failure of a probe is not the end
# description: |
#   A probe that counts as failed at its first failure, with no grace after the switch, takes a whole fleet back for one
#   lost packet or one slow start. Rollbacks that nobody understands teach people to switch them off.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: warn
#   code: reliability/hasty-probe
#   remedy: allow two failures or more in a row, and give a grace that covers the start
#   parameters:
#     failures: 2
package ordain.rules.reliability.hasty_probe

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "probes", i, "failures"], message) if {
	some i, probe in input.object.spec.probes
	probe.failures < input.parameters.failures
	object.get(probe, "grace", "0s") in {"0s", "0m", "0h", "0d"}
	message := sprintf("probe %s gives up after %v failure, and has no grace", [probe.name, probe.failures])
}
