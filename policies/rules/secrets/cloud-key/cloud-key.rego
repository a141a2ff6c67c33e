# METADATA
# title: No keys or tokens of well-known services in manifests
# description: |
#   It knows the shapes of keys that a service gives out with a prefix of its own, so it is rarely wrong and never
#   complete. It looks at every text of a manifest and at the source files of a component, and never repeats what it found.
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   finished: true
#   severity: deny
#   code: secrets/cloud-key
#   sensitive: true
#   remedy: remove it, revoke it where it was made (git remembers it), and put a new one on hosts by other means than git
package ordain.rules.secrets.cloud_key

import data.ordain.result
import data.ordain.rules.lib.secrets

# What it is → pieces of text of which each has one, and its shape.
kinds := {
	"an AWS access key": {"words": ["AKIA", "ASIA"], "shape": `\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`},
	"an AWS secret key": {
		"words": ["secret_access_key", "secretaccesskey"],
		"shape": `(?i)secret_?access_?key["']?\s*[:=]\s*["']?[A-Za-z0-9/+]{40}(?:[^A-Za-z0-9/+]|$)`,
	},
	"an Anthropic key": {"words": ["sk-ant-"], "shape": `\bsk-ant-[a-z0-9]+-[A-Za-z0-9_-]{20}`},
	"an OpenAI key": {"words": ["sk-"], "shape": `\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20}|[A-Za-z0-9]{48})`},
	"a Hugging Face token": {"words": ["hf_"], "shape": `\bhf_[A-Za-z0-9]{30}`},
	"a Docker token": {"words": ["dckr_"], "shape": `\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20}`},
	"a Twilio key": {"words": ["SK"], "shape": `\bSK[0-9a-f]{32}\b`},
	"a Terraform token": {"words": [".atlasv1."], "shape": `\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60}`},
	"a Databricks token": {"words": ["dapi"], "shape": `\bdapi[0-9a-f]{32}\b`},
	"a GitHub token": {
		"words": ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
		"shape": `\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22})`,
	},
	"a GitLab token": {"words": ["gl"], "shape": `\bgl(?:pat|rt|dt|ptt|cbt|ft|soat|agent|imt)-[A-Za-z0-9_-]{20}`},
	"a Google API key": {"words": ["AIza"], "shape": `\bAIza[A-Za-z0-9_-]{35}`},
	"an npm token": {"words": ["npm_"], "shape": `\bnpm_[A-Za-z0-9]{36}`},
	"a Slack token": {"words": ["xox", "xapp-"], "shape": `\b(?:xox[abeprs]|xapp)[-.][A-Za-z0-9-]{10}`},
	"a Stripe key": {"words": ["k_live_"], "shape": `\b[rs]k_live_[A-Za-z0-9]{24}`},
}

deny contains result.at(rego.metadata.chain(), path, message) if {
	some what, kind in kinds
	secrets.suspicious(kind.words) # before a call that gathers: most manifests hold none of these words
	some path in secrets.places(kind.words, kind.shape)
	message := sprintf("this text holds %s", [what])
}
