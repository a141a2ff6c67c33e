# METADATA
# title: Versions do not go down
# description: |
#   A version that goes down is usually a merge that took the wrong side; it brings back faults that were mended, and data
#   that the newer version wrote may be lost on the older. It compares the versions in addresses of artifacts, by name and
#   platform, with those that were accepted. A rollback on purpose is what warnings are for: somebody looks, and goes on.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: warn
#   code: change/downgrade
#   remedy: use the newer version, or say in the commit why the older one is right
package ordain.rules.change.downgrade

import data.ordain.result
import data.ordain.rules.lib.addresses

deny contains result.at(rego.metadata.chain(), array.concat(address.at, ["url"]), message) if {
	some address in addresses.all
	some before in before_this
	which(before) == which(address)
	numbers(version(address.url)) < numbers(version(before.url))
	message := sprintf("artifact %s goes from version %s down to %s", [address.name, version(before.url), version(address.url)])
}

before_this contains address if some address in addresses.all with input.object as input.old

# The name, and the platform where there are several.
which(address) := array.concat([address.name], array.slice(address.at, 3, count(address.at)))

# The last that looks like one: further up in an address stand versions of other things.
version(url) := found[count(found) - 1] if found := regex.find_n(`[0-9]+(?:\.[0-9]+)+`, after_host(url), -1)

after_host(url) := regex.replace(url, `^[a-z]+://[^/]*`, "")

# A number has no zeros before it.
numbers(text) := [to_number(regex.replace(part, `^0+(.)`, "$1")) | some part in split(text, ".")]
