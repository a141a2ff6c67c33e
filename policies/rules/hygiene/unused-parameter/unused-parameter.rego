# METADATA
# title: Parameters have an effect
# description: |
#   A parameter that no text refers to can be set by every fleet and changes nothing, which is noticed when it matters. It
#   is usually left over, or misspelt where it is used.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: warn
#   code: hygiene/unused-parameter
#   remedy: remove it, or refer to it as ${parameters.<name>}
package ordain.rules.hygiene.unused_parameter

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "parameters", name], message) if {
	some name, _ in input.object.spec.parameters
	not used(name)
	message := sprintf("nothing in this component refers to parameter %s", [name])
}

used(name) if {
	some text in texts
	contains(text, concat("", ["${parameters.", name, "}"]))
}

texts contains json.marshal(object.remove(input.object.spec, ["parameters"]))

texts contains text if some text in input.sources
