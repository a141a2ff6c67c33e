# METADATA
# title: Agents say which region they are in
# description: |
#   Variants, residency and pagers go by region. A host without one gets nobody's.
# schemas:
#   - input: schema.input
#   - input.object: schema.agent
# custom:
#   scope: object
#   severity: deny
#   code: hosts/region
#   remedy: add a label such as region, with one of parameters.regions
#   parameters:
#     regions: [eu, us]
package ordain.custom.hosts.region

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["metadata", "labels"], message) if {
	not input.object.metadata.labels.region
	message := sprintf("%s is in no region", [input.object.metadata.name])
}
