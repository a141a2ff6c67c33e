# METADATA
# title: Packages come from places that are known, over https
# description: |
#   Whoever owns a package repository runs what they like as root on every host that knows it: at the next installation,
#   and at every upgrade after. parameters.hosts are those that may be used, with `*.` for all below a domain; empty
#   allows any, as long as nobody on the way can hold back updates or see what is installed.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: host-safety/package-source
#   remedy: use an address with https of a host that may be used, or have the host allowed in ordain.yaml (parameters.hosts)
#   parameters:
#     hosts: []
package ordain.rules.host_safety.package_sources

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "packageRepositories", i, "url"], message) if {
	some i, repository in input.object.spec.packageRepositories
	not startswith(lower(repository.url), "https://")
	not startswith(repository.url, "file:///")
	message := sprintf("package repository %s is read without https", [repository.name])
}

deny contains result.at(rego.metadata.chain(), ["spec", "packageRepositories", i, "url"], message) if {
	count(input.parameters.hosts) > 0
	some i, repository in input.object.spec.packageRepositories
	startswith(lower(repository.url), "http")
	host := lower(regex.replace(repository.url, `^[A-Za-z]+://(?:[^/?#]*@)?([^/?#:]*).*$`, "$1"))
	not allowed(host)
	message := sprintf("package repository %s is on host %s, which is not among the allowed ones", [repository.name, host])
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
