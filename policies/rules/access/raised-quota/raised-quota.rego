# METADATA
# title: A raised quota is seen
# description: |
#   A quota protects the other tenants, and the change that needs more room is often the one that raises it. It says so here, so
#   that whoever answers for all tenants gets to see it; let it deny where a tenant's own people may change their Tenant manifest.
# schemas:
#   - input: schema.input
#   - input.object: schema.tenant
# custom:
#   scope: object
#   severity: warn
#   code: access/raised-quota
#   remedy: have it looked at by whoever answers for all tenants
package ordain.rules.access.raised_quota

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "quotas", name], message) if {
	some name, before in input.old.spec.quotas
	now := input.object.spec.quotas[name]
	amount(now) > amount(before)
	message := sprintf("tenant %s may have more: %s is %v instead of %v", [input.object.metadata.name, name, now, before])
}

deny contains result.at(rego.metadata.chain(), ["spec"], message) if {
	some name, before in input.old.spec.quotas
	not input.object.spec.quotas[name]
	message := sprintf("tenant %s has no bound any more on %s, which was %v", [input.object.metadata.name, name, before])
}

# Numbers and sizes such as 16Mi, both as they are written.
amount(value) := units.parse_bytes(sprintf("%v", [value]))
