# METADATA
# title: Units give up what they do not need
# description: |
#   systemd takes rights away from a service for the asking, and hardly one needs them all: whoever takes over a service
#   that gave them up holds far less. parameters.wanted are settings that a unit, or one of its drop-ins, should have; what
#   they are set to is its author's to say.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: warn
#   code: hygiene/unit-hardening
#   remedy: add the setting under [Service]; `systemd-analyze security` shows what else a service could give up
#   parameters:
#     wanted:
#       - NoNewPrivileges
#       - ProtectSystem
#       - PrivateTmp
package ordain.rules.hygiene.unit_hardening

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "services", i, "name"], message) if {
	some i, service in input.object.spec.services
	text := brought(service)
	regex.match(`(?m)^\s*\[Service\]`, text)
	missing := [name | some name in input.parameters.wanted; not stands_in(name, text)]
	count(missing) > 0
	message := sprintf("service %s does without %s", [service.name, concat(", ", missing)])
}

# The unit with its drop-ins; nothing where the host has the unit.
brought(service) := concat("\n", array.concat([unit(service)], [drop_in.content | some drop_in in service.dropIns]))

unit(service) := service.unit

unit(service) := input.sources[service.source]

stands_in(name, text) if regex.match(sprintf(`(?m)^\s*%s\s*=\s*\S`, [name]), text)
