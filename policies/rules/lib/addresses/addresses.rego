# METADATA
# title: Addresses of artifacts
# description: Every address that a component fetches from, with its place. `shown` leaves out what may be a secret.
package ordain.rules.lib.addresses

all contains address(artifact, artifact, ["spec", "artifacts", i]) if some i, artifact in input.object.spec.artifacts

all contains address(artifact, source, ["spec", "artifacts", i, "platforms", platform]) if {
	some i, artifact in input.object.spec.artifacts
	some platform, source in artifact.platforms
}

address(artifact, source, at) := {
	"name": artifact.name,
	"url": source.url,
	"shown": shown(source.url),
	"digest": object.get(source, "sha256", ""),
	"at": at,
}

# Credentials stand before an @, tokens after a question mark.
shown(url) := regex.replace(regex.replace(url, `^([A-Za-z]+://)[^/?#]*@`, "$1"), `[?#].*$`, "?…")
