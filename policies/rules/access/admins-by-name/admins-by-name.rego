# METADATA
# title: The widest roles are given to people by name
# description: |
#   Who belongs to a group is decided where people sign in, and no commit shows it. For roles that let hosts in and send them away,
#   review should see each name. parameters.roles are those that no group may have.
# schemas:
#   - input: schema.input
#   - input.object: schema.role
# custom:
#   scope: object
#   severity: warn
#   code: access/admins-by-name
#   remedy: "name people, as operator:<name> or oidc:<issuer>#<e-mail>, and give the group a narrower role"
#   parameters:
#     roles: [tenant-admin, admin]
package ordain.rules.access.admins_by_name

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "subjects", i], message) if {
	input.object.spec.role in input.parameters.roles
	some i, subject in input.object.spec.subjects
	startswith(subject, "group:")
	message := sprintf("whoever gets into %s becomes %s, and no commit shows who", [subject, input.object.spec.role])
}
