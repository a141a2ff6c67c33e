# METADATA
# title: What is named like a secret holds none
# description: |
#   A parameter or variable called dbPassword, API_TOKEN or clientSecret that has a value right here has it in git, in the
#   bundle and on every host. It looks at environments, defaults of parameters, and values that fleets and other components
#   give. References, paths and empty values pass. The finding never repeats what it found.
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   severity: deny
#   code: secrets/named-value
#   sensitive: true
#   remedy: take the value out, change it where it is used (git remembers it), and put it on hosts by other means than git
package ordain.rules.secrets.named_values

import data.ordain.result

named := concat("|", [
	`(?i:password|passwd|passphrase|pwd|secret|token|(?:api|access|private|secret|signing|encryption)[-_]?key|credentials?)$`,
	`(?:^pass|[-_]pass|[a-z0-9]Pass|[-_]PASS|^PASS)$`,
])

deny contains result.at(rego.metadata.chain(), value.path, message) if {
	some value in values
	regex.match(named, value.name)
	harmful(value.text)
	message := sprintf("%s is named like a secret and has its value here", [value.name])
}

harmful(text) if {
	is_string(text)
	not regex.match(harmless, text)
}

# A number of fewer digits counts something.
harmful(number) if {
	is_number(number)
	number >= 1000
}

# Nothing, a reference, a variable, or a path below a directory of a host's root.
harmless := `^\s*$|^\$(?:[{(]|[A-Z_][A-Z0-9_]*$)|^/(?:data|dev|etc|home|mnt|opt|proc|root|run|srv|tmp|usr|var)/|^\{\{|^file:`

values contains {"name": name, "text": text, "path": ["spec", section, i, "environment", name]} if {
	some section in ["processes", "containers"]
	some i, process in input.object.spec[section]
	some name, text in process.environment
}

values contains {"name": name, "text": parameter["default"], "path": ["spec", "parameters", name, "default"]} if {
	some name, parameter in input.object.spec.parameters
}

values contains {"name": name, "text": text, "path": ["spec", "parameters", name, "enum", i]} if {
	some name, parameter in input.object.spec.parameters
	some i, text in parameter.enum
}

values contains {"name": name, "text": text, "path": ["spec", section, i, "parameters", name]} if {
	some section in ["includes", "components"]
	some i, use in input.object.spec[section]
	some name, text in use.parameters
}

values contains {"name": name, "text": text, "path": ["spec", section, i, "parameters", component, name]} if {
	some section in ["variants", "modes"]
	some i, variant in input.object.spec[section]
	some component, parameters in variant.parameters
	some name, text in parameters
}
