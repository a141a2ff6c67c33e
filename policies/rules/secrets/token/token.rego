# METADATA
# title: No tokens in manifests
# description: |
#   A token is a password that nobody has to type: who reads the repository has it until somebody revokes it. It knows
#   tokens that are signed (JWT), that stand in a header, or that have a service's own shape. It looks at every text of a
#   manifest and at the source files of a component, and never repeats what it found.
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   finished: true
#   severity: deny
#   code: secrets/token
#   sensitive: true
#   remedy: remove it, revoke it where it was made (git remembers it), and put a new one on hosts by other means than git
package ordain.rules.secrets.token

import data.ordain.result
import data.ordain.rules.lib.secrets

# What it is → pieces of text of which each has one, and its shape.
kinds := {
	"a signed token (JWT)": {"words": ["eyJ"], "shape": `\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}`},
	"a token in a header": {
		"words": ["authorization"],
		"shape": `(?i)\bauthorization["']?\s*[:=]\s*["']?(?:bearer|basic|token)\s+[A-Za-z0-9+/._~=-]{12,}`,
	},
	"a key in a header": {
		"words": ["x-api-key", "x-auth-token", "x-access-token"],
		"shape": `(?i)\bx-(?:api-key|auth-token|access-token)["']?\s*[:=]\s*["']?[A-Za-z0-9+/._~-]{12,}`,
	},
	"a password for netrc": {"words": ["machine"], "shape": `\bmachine\s+\S+\s+(?:login\s+\S+\s+)?password\s+[^\s${%<*]\S{3}`},
	"a shared access signature of Azure": {"words": ["sig="], "shape": `[?&]sig=[A-Za-z0-9%+/=_-]{32}`},
	"a Vault token": {"words": ["hvs."], "shape": `\bhvs\.[A-Za-z0-9_-]{20}`},
	"an Azure storage key": {"words": ["AccountKey="], "shape": `\bAccountKey=[A-Za-z0-9+/]{40}`},
	"a PyPI token": {"words": ["pypi-"], "shape": `\bpypi-[A-Za-z0-9_-]{40}`},
	"a DigitalOcean token": {"words": ["dop_v1_"], "shape": `\bdop_v1_[a-f0-9]{64}`},
	"a SendGrid key": {"words": ["SG."], "shape": `\bSG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{40}`},
	"the address of a Slack webhook": {"words": ["hooks.slack.com"], "shape": `hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{20}`},
}

deny contains result.at(rego.metadata.chain(), path, message) if {
	some what, kind in kinds
	secrets.suspicious(kind.words) # before a call that gathers: most manifests hold none of these words
	some path in secrets.places(kind.words, kind.shape)
	message := sprintf("this text holds %s", [what])
}
