# METADATA
# title: A name is not left open to a second host
# description: |
#   Where `reimage` is allowed, whoever holds a token for the name takes the place of the host that has it, and gets what was meant
#   for that one. Allow it for the day of the installation, and take it back.
# schemas:
#   - input: schema.input
#   - input.object: schema.agent
# custom:
#   scope: object
#   severity: warn
#   code: access/reimage
#   remedy: "take reimage: allowed out again once the host is back"
package ordain.rules.access.reimage

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "enrolment", "reimage"], message) if {
	input.object.spec.enrolment.reimage == "allowed"
	message := sprintf("another host may enrol as %s while it is enrolled", [input.object.metadata.name])
}
