package ordain.rules.secrets.private_key_test

import data.ordain.rules.secrets.private_key

found(value, sources) := result if {
	result := {finding.path | some finding in private_key.deny} with input as {
		"object": value,
		"sources": sources,
		"parameters": {},
	}
}

pem(kind) := concat("", ["-----BEGIN ", kind, "-----\nMIIB\n-----END ", kind, "-----\n"])

component(content) := {"kind": "Component", "spec": {"files": [{"path": "/etc/tls/key.pem", "content": content}]}}

test_private_keys_are_found if {
	every kind in ["PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"] {
		found(component(pem(kind)), {}) == {["spec", "files", 0, "content", 0, 2]}
	}
}

test_each_key_is_a_finding_of_its_own if {
	text := concat("", ["# a comment\n", pem("RSA PRIVATE KEY"), pem("CERTIFICATE"), pem("PRIVATE KEY"), "x"])
	found(component(text), {}) == {["spec", "files", 0, "content", 1, 3], ["spec", "files", 0, "content", 7, 9]}
}

test_a_key_ends_where_its_tool_says if {
	text := "x\nPuTTY-User-Key-File-3: ssh-ed25519\nAAAA\nPrivate-MAC: 00\nx"
	found(component(text), {}) == {["spec", "files", 0, "content", 1, 3]}
}

test_a_key_without_an_end_is_where_it_begins if {
	found(component("x\n-----BEGIN PRIVATE KEY-----\nMIIB"), {}) == {["spec", "files", 0, "content", 1]}
}

test_a_key_on_one_line_is_all_of_its_text if {
	key := "-----BEGIN PRIVATE KEY-----MIIB"
	found({"kind": "Fleet", "spec": {"keys": [key], "text": key}}, {}) == {["spec", "keys", 0], ["spec", "text"]}
	ended := concat("", [key, "-----END PRIVATE KEY-----\n", pem("CERTIFICATE")])
	found(component(ended), {}) == {["spec", "files", 0, "content", 0, 0]}
}

test_public_ones_pass if {
	every kind in ["PUBLIC KEY", "CERTIFICATE", "PGP PUBLIC KEY BLOCK"] {
		found(component(pem(kind)), {}) == set()
	}
}

test_they_are_found_wherever_text_stands if {
	fleet := {"kind": "Fleet", "spec": {"components": [{"name": "a", "parameters": {"key": pem("PRIVATE KEY")}}]}}
	found(fleet, {}) == {["spec", "components", 0, "parameters", "key", 0, 2]}
}

test_source_files_are_read_too if {
	with_source := {"kind": "Component", "spec": {"files": [{"path": "/a", "source": "files/key.pem"}]}}
	found(with_source, {"files/key.pem": concat("", ["# a comment\n", pem("EC PRIVATE KEY")])}) == {["sources", "files/key.pem", 1, 3]}
	found(with_source, {"files/key.pem": "nothing"}) == set()
}

test_the_message_does_not_repeat_the_key if {
	messages := {finding.message | some finding in private_key.deny} with input as {
		"object": component(pem("PRIVATE KEY")),
		"sources": {},
	}
	every message in messages {
		not contains(message, "MIIB")
	}
}

test_keys_of_other_tools_are_found if {
	every text in [
		concat("", ["AGE-SECRET", "-KEY-1", "QQQQQQQQQQQQQQQQQQQQQQQQ"]),
		"PuTTY-User-Key-File-3: ssh-ed25519",
	] {
		found(component(text), {}) == {["spec", "files", 0, "content"]}
	}
}

test_keys_in_base64_are_found if {
	every kind in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
		found(component(base64.encode(pem(kind))), {}) == {["spec", "files", 0, "content"]}
	}
	found(component(base64.encode(pem("CERTIFICATE"))), {}) == set()
}

test_keys_of_tunnels_are_found if {
	key := base64.encode("thirty-two bytes of no real key!")
	every name in ["PrivateKey = ", "PresharedKey="] {
		found(component(concat("", ["[Interface]\n", name, key, "\nPort = 1"])), {}) == {["spec", "files", 0, "content", 1]}
	}
	found(component(sprintf("PrivateKey=%s\n%s", [key, pem("CERTIFICATE")])), {}) == {["spec", "files", 0, "content", 0]}
	found(component("PrivateKey = ${secret.tunnel}"), {}) == set()
}

test_the_other_armour_of_ssh_is_found if {
	every kind in ["SSH2 ENCRYPTED PRIVATE KEY", "SSH2 PRIVATE KEY"] {
		found(component(sprintf("---- BEGIN %s ----\nabc\n---- END %s ----\nx\n", [kind, kind])), {}) == {["spec", "files", 0, "content", 0, 2]}
	}
}
