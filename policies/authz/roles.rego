# METADATA
# title: What operators may do
# description: |
#   Roles are given per tenant, by Role manifests in git; those who run the installation are named in the settings of `serve`, and may
#   act in all tenants. Nothing else allows anything: an action that is not listed here is refused, whoever asks. A token may be
#   narrower than its owner. Who asked for something can't approve it, whatever roles they have.
#
#   input: {operator: {names, groups, scope: {actions, tenants}}, action, tenant, fleets, asked_by, roles, admins}; `tenant` is "" for
#   what concerns the installation, `fleets` are those of what is to be changed or shown (null where the question is about all that
#   may be seen), `roles` are those of the tenant's verified controls, `ended` by now or not.
package ordain.authz.roles

seeing := {"agents.read", "fleets.read", "pending.read"}

operating := {"agents.quarantine", "agents.revoke", "modes.switch", "reports.carry", "rollouts.operate", "tasks.run"}

approving := {"rollouts.approve", "tasks.approve"}

recording := {"audit.read", "tokens.read"}

joining := {"agents.decommission", "tokens.create", "tokens.revoke"}

running := {"hooks.read", "hooks.write", "installation.read", "operators.read", "operators.write", "rollouts.stop"}

# Whoever has signed in may see who they are, and sign out.
own := {"self.end", "self.read"}

may := {
	"viewer": seeing,
	"operator": (seeing | operating),
	"approver": (seeing | approving),
	"policy-owner": (seeing | recording),
	"tenant-admin": everything_in_a_tenant,
	"admin": everything_in_a_tenant,
}

everything_in_a_tenant := ((seeing | operating) | (approving | recording)) | joining

actions := (everything_in_a_tenant | running) | own

decision := {"allow": count(objections) == 0, "why": concat("; ", sort(objections)), "all": sees_all, "fleets": sort(covered)}

subjects := {subject | some subject in array.concat(input.operator.names, input.operator.groups)}

is_admin if {
	some subject in input.admins
	subject in subjects
}

granting contains role if {
	some role in input.roles
	role.ended == false
	some subject in role.subjects
	subject in subjects
	input.action in may[role.role]
}

default sees_all := false

sees_all if is_admin

sees_all if {
	some role in granting
	count(role.fleets) == 0
}

covered contains fleet if {
	some role in granting
	some fleet in role.fleets
}

where := sprintf("in tenant %s", [input.tenant]) if input.tenant != ""

where := "for the installation" if input.tenant == ""

# What is asked of no tenant and could be allowed in one is a question about all that may be seen.
wherever := "in any tenant" if {
	input.tenant == ""
	input.action in everything_in_a_tenant
}

wherever := where if input.tenant != ""

wherever := where if not input.action in everything_in_a_tenant

would := {role | some role, allowed in may; input.action in allowed}

whose := "any role" if count(would) == count(may)

whose := sprintf("role %s", [concat(" or ", sort(would))]) if count(would) in numbers.range(1, count(may) - 1)

whose := "somebody who runs the installation" if count(would) == 0

objections contains "the question lacks something" if not is_complete

is_complete if {
	is_array(input.operator.names)
	is_array(input.operator.groups)
	is_array(input.operator.scope.actions)
	is_array(input.operator.scope.tenants)
	is_string(input.action)
	is_string(input.tenant)
	is_string(input.asked_by)
	is_array(input.roles)
	is_array(input.admins)
	concerns_fleets
}

concerns_fleets if is_array(input.fleets)

concerns_fleets if is_null(input.fleets)

objections contains sprintf("there is no action %s", [input.action]) if not input.action in actions

objections contains sprintf("no role of %s allows %s %s: it takes %s", [input.operator.names[0], input.action, wherever, whose]) if {
	not is_admin
	not input.action in own
	count(granting) == 0
}

objections contains sprintf("this token is not for %s", [input.action]) if {
	not input.action in own
	count(input.operator.scope.actions) > 0
	not in_scope
}

objections contains sprintf("this token is not for what is done %s", [where]) if {
	not input.action in own
	count(input.operator.scope.tenants) > 0
	not input.tenant in input.operator.scope.tenants
}

objections contains sprintf("a role of %s allows %s for some fleets only, and not for this", [input.operator.names[0], input.action]) if {
	count(granting) > 0
	not sees_all
	not concerned
}

objections contains "who asked for it can't approve it" if {
	endswith(input.action, ".approve")
	input.asked_by in subjects
}

objections contains "it is not known who asked for it, so nobody can approve it" if {
	endswith(input.action, ".approve")
	input.asked_by == ""
}

in_scope if input.action in input.operator.scope.actions

in_scope if {
	[group, _] := split(input.action, ".")
	sprintf("%s.*", [group]) in input.operator.scope.actions
}

# Reading is for whoever has one of the fleets, changing for whoever has all of them.
concerned if {
	is_null(input.fleets)
	endswith(input.action, ".read")
}

concerned if {
	endswith(input.action, ".read")
	some fleet in input.fleets
	fleet in covered
}

concerned if {
	not endswith(input.action, ".read")
	is_array(input.fleets)
	count(input.fleets) > 0
	every fleet in input.fleets { fleet in covered }
}
