# METADATA
# title: Artifacts and images come from known hosts
# description: |
#   Off until a repository says which hosts it trusts, in parameters.hosts: names, or `*.example.com` for all below one.
#   Artifacts from ordain's own store, or from a file of the host, name no host and pass. An image that names no registry
#   comes from docker.io.
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
deny contains result.at(rego.metadata.chain(), ["spec", "containers", i, "image"], message) if {
	some i, container in input.object.spec.containers
	host := registry_of(container.image)
	not allowed(host)
	message := sprintf("container %s comes from registry %s, which is not among the allowed ones", [container.name, host])
}

# What stands before the first slash is a registry where it could be no part of a name.
registry_of(image) := split(parts[0], ":")[0] if {
	parts := split(image, "/")
	count(parts) > 1
	regex.match(`[.:]|^localhost$`, parts[0])
} else := "docker.io"

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
