# METADATA
# title: The widest roles end by themselves
# description: |
#   Whoever administers a tenant can let hosts in and send them away. A role with an end is looked at again, by a commit that somebody
#   reviews, and not forgotten with the person who had it. parameters.roles are those that must have `until`.
# schemas:
#   - input: schema.input
#   - input.object: schema.role
# custom:
#   scope: object
#   severity: warn
#   code: access/lasting-admin
#   remedy: "write until: 2027-06-30T00:00:00Z, and renew it by a commit"
#   parameters:
#     roles: [tenant-admin, admin]
package ordain.rules.access.lasting_admin

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "role"], message) if {
	input.object.spec.role in input.parameters.roles
	not input.object.spec.until
	message := sprintf("role %s is given for ever", [input.object.spec.role])
}
