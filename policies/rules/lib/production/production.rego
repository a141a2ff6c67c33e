# METADATA
# title: What is production
# description: |
#   `parameters.production` holds labels that mark it: `env=production`, or `critical` for `critical=true`. None mark
#   nothing, so rules about production are off until it is set.
package ordain.rules.lib.production

# Labels as pairs of key and value.
marks contains [key, value] if {
	some mark in input.parameters.production
	[key, value] := split(mark, "=")
}

marks contains [mark, "true"] if {
	some mark in input.parameters.production
	not contains(mark, "=")
}

members contains member.name if {
	some member in input.members
	some [key, value] in marks
	member.labels[key] == value
}

# Agents that a change reaches, by the label that marks them.
hit[concat("=", [key, value])] := agents if {
	some [key, value] in marks
	agents := input.change.impact.by_label[key][value]
	agents > 0
}
