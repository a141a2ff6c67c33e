# METADATA
# title: Accounts do not get root's rights by their groups
# description: |
#   Members of some groups are as good as root: they may become it, read every disk, or start containers that see
#   the whole host. parameters.groups are those groups. An account with the number 0 can't be made at all.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: host-safety/privileged-user
#   remedy: leave the group out; what it needs as root goes into /etc/sudoers.d, by its commands
#   parameters:
#     groups: [root, sudo, wheel, admin, disk, docker, podman, lxd, libvirt, shadow, kmem]
package ordain.rules.host_safety.privileged_users

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "users", i, "groups", j], message) if {
	some i, user in input.object.spec.users
	some j, group in user.groups
	group in input.parameters.groups
	message := sprintf("user %s gets the rights of group %s", [user.name, group])
}

deny contains result.at(rego.metadata.chain(), ["spec", "users", i, "group"], message) if {
	some i, user in input.object.spec.users
	user.group in input.parameters.groups
	message := sprintf("user %s gets the rights of group %s", [user.name, user.group])
}
