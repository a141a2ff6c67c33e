package ordain.rules.supply_chain.pinned_versions_test

import data.ordain.rules.supply_chain.pinned_versions

found(url) := result if {
	result := {finding.path | some finding in pinned_versions.deny} with input as {
		"object": {"kind": "Component", "spec": {"artifacts": [{"name": "a", "url": url}]}},
		"parameters": {"segments": ["main", "head"], "words": ["latest", "nightly"], "channels": ["stable"]},
	}
}

test_floating_addresses_are_found_at_their_url if {
	every url in [
		"https://example.com/app/latest/app",
		"https://example.com/app/releases/latest",
		"HTTPS://example.com/LATEST/app",
		"http://example.com/app-latest.tar.gz",
		"https://example.com/app_nightly_amd64",
		"https://raw.example.com/acme/app/main/run.sh",
		"https://example.com/app?ref=main",
		"https://example.com/app@head/x",
		"https://example.com/main#x",
		"https://example.com/x?a=1&b=head",
		"https://example.com/l%61test/a",
		"https://example.com/a%2Fmain%2fx",
		"https://example.com/latest,a",
		"https://example.com/latest+a",
		"https://example.com/latest;x",
		"https://example.com/latest%",
		"https://example.com/latest/%4",
		"https://example.com/latest/%g1",
		"https://example.com/latest/%1g",
		"https://example.com/stable/a",
		"https://example.com/stable/linux2/a.tar.gz",
	] {
		found(url) == {["spec", "artifacts", 0, "url"]}
	}
}

test_versions_pass if {
	every url in [
		"https://latest.example.com/app/1.2.3/app",
		"https://main@example.com/1.2.3",
		"https://example.com/app/domain/maintenance-1.2.3",
		"https://example.com/main-1.2.3.tar.gz",
		"https://deb.example.com/debian/pool/main/v/vim/vim_9.1.deb",
		"https://example.com/stable/x86_64/app-27.3.1.tgz",
		"https://example.com/stable/v1.2/app",
		"store:app-latest",
		"file:///srv/latest/app",
	] {
		found(url) == set()
	}
}

test_the_message_says_which_word if {
	messages := {finding.message | some finding in pinned_versions.deny} with input as {
		"object": {"spec": {"artifacts": [{"name": "a", "platforms": {"linux/amd64": {"url": "https://example.com/latest/main"}}}]}},
		"parameters": {"segments": ["main"], "words": ["latest"], "channels": []},
	}
	messages == {"artifact a is fetched from an address that names no version, but latest, main"}
}
