# METADATA
# title: No keys or tokens of well-known services in manifests
# description: |
#   It knows the shapes of keys that a service gives out with a prefix of its own, so it is rarely wrong and never
#   complete. It looks at every text of a manifest and at the source files of a component, and never repeats what it found.
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   severity: deny
#   code: secrets/cloud-key
#   sensitive: true
#   remedy: remove it, revoke it where it was made (git remembers it), and let hosts get a new one by ${secret.…}
package ordain.rules.secrets.cloud_key

import data.ordain.result

shapes := {
	"an AWS access key": `\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`,
	"a GitHub token": `\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22})`,
	"a GitLab token": `\bglpat-[A-Za-z0-9_-]{20}`,
	"a Google API key": `\bAIza[A-Za-z0-9_-]{35}`,
	"an npm token": `\bnpm_[A-Za-z0-9]{36}`,
	"a Slack token": `\bxox[abprs]-[A-Za-z0-9-]{10}`,
	"a Stripe key": `\b[rs]k_live_[A-Za-z0-9]{24}`,
}

# One look at all of a manifest, since hardly any has one.
suspicious if {
	text := json.marshal(input.object)
	some word in ["AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "AIza", "npm_", "xox", "k_live_"]
	contains(text, word)
}

deny contains result.at(rego.metadata.chain(), path, message) if {
	suspicious
	walk(input.object, [path, text])
	is_string(text)
	some what, shape in shapes
	regex.match(shape, text)
	message := sprintf("this text holds %s", [what])
}

deny contains result.at(rego.metadata.chain(), ["sources", source, n], message) if {
	some source, text in input.sources
	some n, line in split(text, "\n")
	some what, shape in shapes
	regex.match(shape, line)
	message := sprintf("%s holds %s", [source, what])
}
