# METADATA
# title: Packages come from places that are known, over https
# description: |
#   Whoever owns a package repository runs what they like as root on every host that knows it: at the next installation,
#   and at every upgrade after. parameters.hosts are those that may be used, with `*.` for all below a domain; empty
#   allows any, as long as nobody on the way can hold back updates or see what is installed. A file where apt or dnf reads
#   sources is looked at for http, and for what lets unsigned packages in; hosts in it are not compared.
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

# A source that is written as a file.
deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "path"], message) if {
	some i, file in input.object.spec.files
	strings.any_prefix_match(file.path, {"/etc/apt/sources.list", "/etc/yum.repos.d/"})
	some line in split(text_of(file), "\n")
	regex.match(unsafe, line)
	message := sprintf("%s lets in packages without https or without signatures", [file.path])
}

text_of(file) := file.content

text_of(file) := input.sources[file.source]

# Not in comments.
unsafe := `(?i)^[^#]*(?:\bhttp://|\btrusted\s*[=:]\s*yes|\ballow-insecure\s*[=:]\s*yes|\bgpgcheck\s*=\s*(?:0|no|false))`

allowed(host) if {
	some name in input.parameters.hosts
	lower(name) == host
}

allowed(host) if {
	some name in input.parameters.hosts
	startswith(name, "*.")
	endswith(host, lower(trim_prefix(name, "*")))
}
