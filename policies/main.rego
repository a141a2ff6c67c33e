# METADATA
# title: Router
# description: |
#   Asks the rules that the caller lists about each item, and says who answered what. The caller gives, for each
#   profile, rule id → {path, parameters}; an item names its profile and brings the input that its rules see.
#   `asked` counts the questions that had an answer: a rule that stays undefined makes it fall short, and the
#   caller treats that as an error. Rules never see their own id, so none can speak for another.
package ordain.main

# One rule and item with more findings than this is an error, told without sending them all.
most_findings := 1000

ready := true

answer := {"asked": count(answers), "answers": [reported | some reported in answers; not silent(reported)]}

answers := array.concat(library_answers, array.concat(custom_answers, tenant_answers))

library_answers := [answered(index, id, denials) |
	some index, item in input.items
	some id, rule in input.profiles[item.profile]
	["rules", category, name] = rule.path
	denials := data.ordain.rules[category][name].deny with input as question(item, rule)
]

custom_answers := [answered(index, id, denials) |
	some index, item in input.items
	some id, rule in input.profiles[item.profile]
	["custom", category, name] = rule.path
	denials := data.ordain.custom[category][name].deny with input as question(item, rule)
]

tenant_answers := [answered(index, id, denials) |
	some index, item in input.items
	some id, rule in input.profiles[item.profile]
	["tenants", tenant, category, name] = rule.path
	denials := data.ordain.tenants[tenant][category][name].deny with input as question(item, rule)
]

question(item, rule) := object.union(item.input, {"change": input.change, "parameters": rule.parameters})

answered(index, id, denials) := {"item": index, "rule": id, "findings": denials} if count(denials) <= most_findings

answered(index, id, denials) := {"item": index, "rule": id, "overflow": count(denials)} if count(denials) > most_findings

silent(reported) if count(reported.findings) == 0
