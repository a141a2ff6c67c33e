# METADATA
# title: Permissions
# description: |
#   The one thing that the control zone asks. `input.about` names the policy that decides (`roles` for operators, `enrolment` for
#   hosts): a package `ordain.authz.<about>` with a `decision`, an object with `allow`, `why` and, where there is more, `detail`.
#   A repository's own rules, packages `ordain.authz.custom.<name>` with `deny contains "why" if …`, are asked where it allowed
#   something, and can only refuse. Where a policy or a rule has no answer, this has none, and whoever asked refuses.
package ordain.permit

ready := true

answer := decided if not decided.allow

answer := decided if {
	decided.allow
	count(objections) == 0
}

answer := {"allow": false, "why": concat("; ", sort(objections))} if {
	decided.allow
	count(objections) > 0
}

decided := data.ordain.authz[input.about].decision

objections contains why if some why in data.ordain.authz.custom[_].deny
