# METADATA
# title: Router
# description: |
#   Asks the rules that the caller lists about each item, and says who answered what. The caller gives profiles, each
#   a list of {parameters, rules: {id: path}}; an item names its profile and brings the input that its rules see. Rules
#   that can share parameters are asked under one `with`: a new input for each rule cost four times the rules themselves.
#   `asked` counts the questions that had an answer: a rule that stays undefined makes it fall short, and the
#   caller treats that as an error. Rules never see their own id, so none can speak for another.
package ordain.main

# One rule and item with more findings than this is an error, told without sending them all.
most_findings := 1000

ready := true

answer := {
	"asked": sum([count(found) | some [_, found] in answered]),
	"answers": [report(index, id, denials) |
		some [index, found] in answered
		some [id, denials] in found
		count(denials) > 0
	],
}

answered := [[index, found] |
	some index, item in input.items
	some group in input.profiles[item.profile]
	seen := object.union(item.input, {"change": input.change, "parameters": group.parameters})
	found := denials_of(group.rules) with input as seen
]

denials_of(rules) := array.concat(
	array.concat(of_library(rules), of_repository(rules)),
	array.concat(of_tenants(rules), of_conftest(rules)),
)

of_library(rules) := [[id, denials] |
	some id, path in rules
	["rules", category, name] = path
	denials := data.ordain.rules[category][name].deny
]

of_repository(rules) := [[id, denials] |
	some id, path in rules
	["custom", category, name] = path
	denials := data.ordain.custom[category][name].deny
]

of_tenants(rules) := [[id, denials] |
	some id, path in rules
	["tenants", tenant, category, name] = path
	denials := data.ordain.tenants[tenant][category][name].deny
]

of_conftest(rules) := [[id, denials] |
	some id, path in rules
	["conftest", package_, level] = path
	denials := data.ordain.conftest[package_][level]
]

report(index, id, denials) := {"item": index, "rule": id, "findings": denials} if count(denials) <= most_findings

report(index, id, denials) := {"item": index, "rule": id, "overflow": count(denials)} if count(denials) > most_findings
