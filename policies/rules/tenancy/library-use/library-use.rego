# METADATA
# title: Tenants use the library's components that they were given
# description: |
#   A component of the library runs with the platform's trust. Off until parameters.components says which ones may be
#   used: names such as `library/sshd`, or patterns such as `library/base-*`. Overrides in ordain.yaml give a tenant others.
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   severity: deny
#   code: tenancy/library-use
#   remedy: use another component, or ask the owners of ordain.yaml to add this one to parameters.components
#   needs: [components]
#   parameters:
#     components: []
package ordain.rules.tenancy.library_use

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", section, i, "name"], message) if {
	tenant := input.object.metadata.tenant
	some section in ["includes", "components"]
	some i, use in input.object.spec[section]
	startswith(use.name, "library/")
	not given(use.name)
	message := sprintf("%s is not among the components of the library that tenant %s may use", [use.name, tenant])
}

given(name) if {
	some pattern in input.parameters.components
	glob.match(pattern, ["/"], name)
}
