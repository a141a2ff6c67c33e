# METADATA
# title: A fleet has members
# description: |
#   A selector that matches nobody is usually a label misspelt on either side, and looks like success: nothing fails.
# schemas:
#   - input: schema.input
# custom:
#   scope: release
#   severity: warn
#   code: release/no-members
#   remedy: compare spec.selector with the labels of the tenant's agents and pools
package ordain.rules.release.members

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["fleet", "spec", "selector"], message) if {
	count(input.members) == 0
	message := sprintf("no agent and no pool matches the selector of fleet %s", [input.fleet.metadata.name])
}
