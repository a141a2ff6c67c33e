# METADATA
# title: Production changes while people are there
# description: |
#   A change that reaches production on a Friday evening meets those on call, who know least about it. Off until
#   parameters.production says which labels mark production (`env=production`). It counts when the change arrives; when
#   waves may go forward is what a fleet's rollout.windows say.
# schemas:
#   - input: schema.input
# custom:
#   scope: change
#   severity: warn
#   code: change/production-hours
#   remedy: bring it in again within these hours, or have somebody stay and look after it
#   needs: [production]
#   parameters:
#     production: []
#     days: [Monday, Tuesday, Wednesday, Thursday, Friday]
#     from: 8
#     until: 17
#     timeZone: UTC
package ordain.rules.change.production_hours

import data.ordain.result
import data.ordain.rules.lib.production

deny contains result.at(rego.metadata.chain(), ["impact", "agents"], message) if {
	some mark, agents in production.hit
	not within_hours
	message := sprintf("this change reaches hosts with %s (agents hit: %v) on a %s at %v, outside of the hours in which that is done", [
		mark,
		agents,
		time.weekday(moment),
		time.format([moment[0], moment[1], "15:04 MST"]),
	])
}

within_hours if {
	time.weekday(moment) in input.parameters.days
	[hour, _, _] := time.clock(moment)
	hour >= input.parameters.from
	hour < input.parameters.until
}

moment := [time.parse_rfc3339_ns(input.change.now), input.parameters.timeZone]
