# METADATA
# title: Rollouts to production keep to windows
# description: |
#   A rollout that goes on at night meets nobody who could look at it. Off until parameters.production says which labels
#   mark production (`env=production`): then a fleet with such members must say when its waves may go forward.
# schemas:
#   - input: schema.input
# custom:
#   scope: release
#   severity: warn
#   code: reliability/no-window
#   remedy: 'add rollout.windows, such as {cron: "0 8 * * 1-5", duration: 9h, timeZone: Europe/Berlin}'
#   needs: [production]
#   parameters:
#     production: []
package ordain.rules.reliability.production_windows

import data.ordain.result
import data.ordain.rules.lib.production

deny contains result.at(rego.metadata.chain(), ["fleet", "spec", "rollout", "windows"], message) if {
	count(production.members) > 0
	not limited
	message := sprintf("%d members are production, and rollouts may reach them at any time", [count(production.members)])
}

limited if count(input.fleet.spec.rollout.windows) > 0
