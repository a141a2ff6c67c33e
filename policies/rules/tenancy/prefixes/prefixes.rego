# METADATA
# title: A tenant's files stay in places of their own
# description: |
#   Tenants that share hosts must not be able to write over each other, or over what the platform keeps there. Off until
#   parameters.prefixes says which directories they may write below; `{tenant}` stands for the tenant's name, and
#   overrides in ordain.yaml give one tenant others. A service counts as its unit file, a container as its Quadlet file.
#   Components of the library belong to no tenant and pass.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: tenancy/outside
#   remedy: put it below one of the prefixes, or ask the owners of ordain.yaml for another one
#   needs: [prefixes]
#   parameters:
#     prefixes: []
package ordain.rules.tenancy.prefixes

import data.ordain.result
import data.ordain.rules.lib.landing
import data.ordain.rules.lib.lines

deny contains result.at(rego.metadata.chain(), entry.at, message) if {
	some entry in landing.all
	not allowed(entry.path)
	message := sprintf("%s is outside of what tenant %s may write: %s", [
		entry.path,
		input.object.metadata.tenant,
		concat(", ", prefixes),
	])
}

prefixes contains replace(trim_suffix(prefix, "/"), "{tenant}", input.object.metadata.tenant) if {
	some prefix in input.parameters.prefixes
}

allowed(path) if path in prefixes

allowed(path) if lines.below(path, prefixes)
