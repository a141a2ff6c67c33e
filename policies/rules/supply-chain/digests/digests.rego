# METADATA
# title: Digests are of the files that they stand for
# description: |
#   The digest is what ties a host's software to what was reviewed. That of an empty file, or one made up to fill the
#   field, means that nobody looked; one digest for two platforms means that one of them gets the other's program.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: supply-chain/hollow-digest
#   remedy: fetch the file from a place that you trust, look at it, and write what `sha256sum` prints
package ordain.rules.supply_chain.digests

import data.ordain.result
import data.ordain.rules.lib.addresses

empty := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

# A real digest has sixteen different digits, or nearly; one with fewer than six turns up once in 10^25.
least_digits := 6

deny contains result.at(rego.metadata.chain(), array.concat(address.at, ["sha256"]), message) if {
	some address in addresses.all
	why := hollow(address.digest)
	message := sprintf("the digest of artifact %s %s", [address.name, why])
}

deny contains result.at(rego.metadata.chain(), ["spec", "artifacts", i, "platforms", platform, "sha256"], message) if {
	some i, artifact in input.object.spec.artifacts
	some platform, source in artifact.platforms
	twins := [other | some other, theirs in artifact.platforms; theirs.sha256 == source.sha256; theirs.url != source.url]
	count(twins) > 0
	message := sprintf("artifact %s has the same digest for %s as for %s", [artifact.name, platform, concat(", ", twins)])
}

hollow(digest) := "is missing" if digest == ""

else := "is that of an empty file" if digest == empty

else := "is made up" if made_up(digest)

made_up(digest) if {
	count({digit | some digit in split(digest, "")}) < least_digits
}

# Whatever is written twice, four or eight times has two halves alike.
made_up(digest) if substring(digest, 0, 32) == substring(digest, 32, 32)
