package ordain.rules.secrets.cloud_key_test

import data.ordain.rules.secrets.cloud_key

found(content) := result if {
	result := count(cloud_key.deny) with input as {
		"object": {"kind": "Component", "spec": {"files": [{"path": "/etc/app", "content": content}]}},
		"sources": {},
		"parameters": {},
	}
}

# Put together here, so that no scanner takes this file for a leak.
made_up(prefix, length) := concat("", array.concat([prefix], ["A" | some _ in numbers.range(1, length)]))

digits := "0123456789abcdef0123456789abcdef"

test_known_shapes_are_found if {
	every text in [
		made_up("AKIA", 16),
		made_up("ASIA", 16),
		made_up("ghp_", 36),
		made_up("gho_", 36),
		made_up("ghu_", 36),
		made_up("ghs_", 36),
		made_up("ghr_", 36),
		made_up("github_pat_", 30),
		made_up("glpat-", 20),
		made_up("glrt-", 20),
		made_up("xapp-1-", 20),
		made_up("xoxe.xoxp-1-", 20),
		made_up("sk-proj-", 48),
		made_up("sk-", 48),
		made_up("sk-ant-api03-", 40),
		made_up("hf_", 34),
		made_up("dckr_pat_", 27),
		concat("", ["SK", digits]),
		concat("", ["dapi", digits]),
		made_up("AAAAAAAAAAAAAA.atlasv1.", 60),
		made_up("aws_secret_access_key = ", 40),
		made_up("SecretAccessKey: ", 40),
		made_up("AIza", 35),
		made_up("npm_", 36),
		made_up("xoxb-", 12),
		made_up("sk_live_", 24),
	] {
		found(sprintf("token = \"%s\n", [text])) == 1
	}
}

test_other_text_passes if {
	every text in ["AKIA is a prefix", "ghp_short", "${secret.token}", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"] {
		found(text) == 0
	}
}

test_source_files_are_read_too if {
	paths := {finding.path | some finding in cloud_key.deny} with input as {
		"object": {"kind": "Component", "spec": {"files": [{"path": "/a", "source": "files/env"}]}},
		"sources": {"files/env": made_up("AKIA", 16)},
	}
	paths == {["sources", "files/env", 0]}
}
