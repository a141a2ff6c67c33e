# METADATA
# title: Who may ask this OPA
# description: |
#   Only the process that started it, which alone knows the token, and only for verdicts, permissions and health.
#   OPA's `--authentication=token` merely reads the token; without this policy it would admit anyone.
#   The data hold the token's SHA-256, so the token itself is neither on disk nor on a command line.
package system.authz

default allow := false

allow if {
	known_caller
	permitted
}

known_caller if crypto.hmac.equal(crypto.sha256(input.identity), data.system.token_sha256)

permitted if {
	input.method == "POST"
	["v1", "data", "ordain", router, name] = input.path
	router in {"main", "permit"}
	name in {"answer", "ready"}
}

permitted if {
	input.method == "GET"
	input.path == ["health"]
}
