# METADATA
# title: A release stays small
# description: |
#   Every member fetches all groups of its fleet's bundle, at once, when a wave starts. Large content belongs into an
#   artifact, which is fetched once and cached. Counted are the characters of all file contents in one group's states.
# schemas:
#   - input: schema.input
# custom:
#   scope: release
#   severity: warn
#   code: release/too-large
#   remedy: move large content into an artifact
#   parameters:
#     characters: 1048576
package ordain.rules.release.size

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["fleet", "spec", "components"], message) if {
	some group, states in input.release.groups
	total := size(states.base) + sum([size(mode.state) | some mode in states.modes])
	total > input.parameters.characters
	message := sprintf("group %s holds %d characters of file content, more than %v", [
		group,
		total,
		input.parameters.characters,
	])
}

size(state) := sum([count(file[field]) |
	some file in state.files
	some field in ["content", "contentBase64"]
])
