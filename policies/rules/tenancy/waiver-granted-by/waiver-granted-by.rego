# METADATA
# title: Waivers are granted by those who may
# description: |
#   Who grants a waiver decides what reaches hosts in spite of the rules. Off until parameters.by names the signers who may: names
#   such as `ana`, or patterns such as `shop/*`; overrides in ordain.yaml give a tenant others. Every commit of the change that
#   touches the waiver's file must be signed by one of them, so signatures have to be on. A change of its description or labels is free.
# schemas:
#   - input: schema.input
#   - input.object: schema.waiver
# custom:
#   scope: object
#   severity: deny
#   code: tenancy/waiver-granted-by
#   remedy: let one of those who may grant waivers sign each commit that touches this file
#   waivable: false
#   needs: [by]
#   parameters:
#     by: []
package ordain.rules.tenancy.waiver_granted_by

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "rule"], message) if {
	not as_before
	not granted
	message := sprintf("this waiver is signed by %s, and only %s may grant one", [signed, concat(", ", input.parameters.by)])
}

as_before if terms(input.old) == terms(input.object)

terms(waiver) := object.remove(waiver.spec, ["description"])

granted if {
	count(touching) > 0
	every commit in touching { may_grant(commit) }
}

touching contains commit if {
	some how in ["added", "changed"]
	some named in input.change.objects[how]
	named.kind == "Waiver"
	named.tenant == input.object.metadata.tenant
	named.name == input.object.metadata.name
	some commit in input.change.commits
	named.file in commit.paths
}

may_grant(commit) if {
	some pattern in input.parameters.by
	glob.match(pattern, ["/"], commit.signer)
}

signed := concat(", ", names) if {
	names := {name | some commit in touching; name := signer(commit)}
	count(names) > 0
} else := "nobody"

signer(commit) := commit.signer if is_string(commit.signer)

signer(commit) := "nobody" if not is_string(commit.signer)
