package ordain.rules.supply_chain.digests_test

import data.ordain.rules.supply_chain.digests

real := "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

other := "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"

found(artifact) := result if {
	result := {finding.path: finding.message | some finding in digests.deny} with input as {"object": {"spec": {"artifacts": [artifact]}}}
}

repeated(text, times) := concat("", [text | some _ in numbers.range(1, times)])

nothing := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

at := ["spec", "artifacts", 0, "sha256"]

test_a_real_digest_passes if found({"name": "a", "url": "store:a", "sha256": real}) == {}

test_what_stands_for_no_file_is_found if {
	found({"name": "a", "url": "store:a", "sha256": nothing}) == {at: "the digest of artifact a is that of an empty file"}
	found({"name": "a", "url": "store:a"}) == {at: "the digest of artifact a is missing"}
	every digest in ["0000000000000000", "deadbeefdeadbeef", repeated("0123456789abcdef", 4), repeated("0123456789abcdef02468ace13579bdf", 2)] {
		found({"name": "a", "url": "store:a", "sha256": digest}) == {at: "the digest of artifact a is made up"}
	}
}

test_six_different_digits_are_enough if {
	found({"name": "a", "url": "store:a", "sha256": "0123450123"}) == {}
	found({"name": "a", "url": "store:a", "sha256": "0123440123"}) == {at: "the digest of artifact a is made up"}
}

platforms(amd64, arm64) := {"name": "a", "platforms": {"linux/amd64": amd64, "linux/arm64": arm64}}

test_one_digest_for_two_files_is_found_on_both if {
	result := found(platforms({"url": "store:a", "sha256": real}, {"url": "store:b", "sha256": real}))
	result[["spec", "artifacts", 0, "platforms", "linux/amd64", "sha256"]] == "artifact a has the same digest for linux/amd64 as for linux/arm64"
	count(result) == 2
}

test_one_file_for_two_platforms_passes if {
	found(platforms({"url": "store:a", "sha256": real}, {"url": "store:a", "sha256": real})) == {}
	found(platforms({"url": "store:a", "sha256": real}, {"url": "store:b", "sha256": other})) == {}
}
