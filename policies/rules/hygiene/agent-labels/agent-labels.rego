# METADATA
# title: Agents carry the labels that everything else counts on
# description: |
#   Fleets select by labels, canaries and reports are counted by them; an agent without one is in no fleet, and nothing
#   says so. Off until parameters.labels says which ones each agent and pool must have.
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   severity: warn
#   code: hygiene/agent-labels
#   remedy: 'add the label in metadata.labels'
#   needs: [labels]
#   parameters:
#     labels: []
package ordain.rules.hygiene.agent_labels

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["metadata", "labels", label], message) if {
	input.object.kind in {"Agent", "AgentPool"}
	some label in input.parameters.labels
	not labelled(label)
	message := sprintf("%s %s has no label %s", [input.object.kind, input.object.metadata.name, label])
}

labelled(label) if count(input.object.metadata.labels[label]) > 0
