# METADATA
# title: An issuer that serves the whole world is held to one's own workloads
# description: |
#   GitHub, GitLab and their like sign tokens for everybody under one name. An agent or a pool that takes their word must say whose
#   workload it is, in full: without it, or with `repo:*`, a stranger's pipeline enrols as one of our hosts. parameters.issuers
#   says which claims tell whose it is; a value that ends with * must name the owner whole, such as `acme/*`.
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   severity: deny
#   code: access/shared-issuer
#   remedy: 'add a claim that says whose workload it is, such as repository: [acme/web]'
#   parameters:
#     issuers:
#       https://token.actions.githubusercontent.com: [repository, repository_id, repository_owner, repository_owner_id, sub]
#       https://gitlab.com: [project_path, project_id, namespace_path, namespace_id, sub]
#       https://accounts.google.com: [sub, email]
#       https://agent.buildkite.com: [organization_slug, organization_id, sub]
package ordain.rules.access.shared_issuer

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "enrolment", "platforms", i, "claims"], message) if {
	some i, platform in input.object.spec.enrolment.platforms
	owning := input.parameters.issuers[platform.issuer]
	not tells_whose(platform.claims, owning)
	message := sprintf("%s signs for everybody, and no claim here says whose workload may enrol (%s)", [platform.issuer, concat(", ", owning)])
}

tells_whose(claims, owning) if {
	some claim in owning
	count(claims[claim]) > 0
	every value in claims[claim] { is_whole(value) }
}

is_whole(value) if not endswith(value, "*")

is_whole(value) if contains(value, "/")
