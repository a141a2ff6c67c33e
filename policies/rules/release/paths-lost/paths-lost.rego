# METADATA
# title: A release keeps most of what the fleet holds
# description: |
#   A component that is left out by mistake takes its files from all hosts of the fleet: the worst accidents with
#   declarative tools looked like this, and were accepted as a small change of one line. Fleets that hold fewer than
#   parameters.least paths pass.
# schemas:
#   - input: schema.input
# custom:
#   scope: release
#   severity: warn
#   code: release/paths-lost
#   remedy: look at which paths go; if they should, take them away in several changes
#   parameters:
#     share: 50%
#     least: 6
package ordain.rules.release.paths_lost

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["fleet", "spec", "components"], message) if {
	before := held(input.old.release.groups)
	count(before) >= input.parameters.least
	lost := before - held(input.release.groups)
	count(lost) * 100 > count(before) * to_number(trim_suffix(input.parameters.share, "%"))
	message := sprintf("%d of the %d paths that hosts of this fleet hold would go, %s among them", [
		count(lost),
		count(before),
		sort(lost)[0],
	])
}

held(groups) := {entry.path |
	some group in groups
	some section in ["files", "artifacts"]
	some entry in group.base[section]
	not entry.absent
}
