# METADATA
# title: Waves soak before the next one starts
# description: |
#   Many faults show only minutes after a switch: leaks, full disks, expired leases. Every wave but the last must hold
#   for parameters.minimum. A wave that states no soak gets the default of 10 minutes.
# schemas:
#   - input: schema.input
#   - input.object: schema.fleet
# custom:
#   scope: object
#   severity: warn
#   code: reliability/short-soak
#   remedy: raise the soak of this wave, or leave it out to get the default of 10m
#   parameters:
#     minimum: 5m
package ordain.rules.reliability.soak

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "rollout", "waves", i, "soak"], message) if {
	some i, wave in input.object.spec.rollout.waves
	i < count(input.object.spec.rollout.waves) - 1
	seconds(wave.soak) < seconds(input.parameters.minimum)
	message := sprintf("wave %s soaks for %s, less than %s", [wave.name, wave.soak, input.parameters.minimum])
}

unit := {"s": 1, "m": 60, "h": 3600, "d": 86400}

seconds(duration) := to_number(substring(duration, 0, count(duration) - 1)) * unit[substring(duration, count(duration) - 1, 1)]
