# METADATA
# title: Artifacts come from known hosts
# description: |
#   Off until a repository says which hosts it trusts, in parameters.hosts: names, or `*.example.com` for all below one.
#   Artifacts from ordain's own store, or from a file of the host, name no host and pass.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: supply-chain/unknown-host
#   remedy: fetch it from an allowed host, or have the owners of ordain.yaml add this one to parameters.hosts
#   needs: [hosts]
#   parameters:
#     hosts: []
package ordain.rules.supply_chain.allowed_hosts

import data.ordain.result
import data.ordain.rules.lib.addresses

deny contains result.at(rego.metadata.chain(), array.concat(address.at, ["url"]), message) if {
	some address in addresses.all
	host := host_of(address.url)
	not allowed(host)
	message := sprintf("artifact %s comes from host %s, which is not among the allowed ones", [address.name, host])
}

# Credentials before an @ and a port are no part of the host's name.
host_of(url) := lower(match[1]) if {
	some match in regex.find_all_string_submatch_n(`^https?://(?:[^/?#]*@)?([^/?#:@]*|\[[^\]/?#]*\])(?::[0-9]*)?(?:[/?#]|$)`, url, 1)
} else := addresses.shown(url) if {
	regex.match(`^https?:`, url)
}

allowed(host) if {
	some name in input.parameters.hosts
	lower(name) == host
}

allowed(host) if {
	some name in input.parameters.hosts
	startswith(name, "*.")
	endswith(host, lower(trim_prefix(name, "*")))
}
