# METADATA
# title: Few objects go at once
# description: |
#   A wrong glob, a merge gone bad or a moved directory looks like this: many objects removed by one change.
#   An object that only moved to another file is not removed.
# schemas:
#   - input: schema.input
# custom:
#   scope: change
#   severity: warn
#   code: change/many-removals
#   remedy: look at each of them; if they should go, remove them in several changes
#   parameters:
#     most: 5
package ordain.rules.change.removals

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["objects", "removed"], message) if {
	removed := count(input.change.objects.removed)
	removed > input.parameters.most
	message := sprintf("%d objects are removed at once, more than %v", [removed, input.parameters.most])
}
