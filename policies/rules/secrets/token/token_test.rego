package ordain.rules.secrets.token_test

import data.ordain.rules.secrets.token

found(text) := result if {
	result := {finding.message | some finding in token.deny} with input as {"object": {"spec": {"text": text}}}
}

# Made here, so that no scanner of repositories takes them for real ones.
long := concat("", ["abcdef0123" | some _ in numbers.range(1, 7)])

samples := {
	"a signed token (JWT)": concat("", ["eyJ", "hbGciOiJub25lIn0", ".eyJ", "zdWIiOiJhbmEi", ".bm90LWEtc2lnbmF0dXJl"]),
	"a token in a header": "Authorization: Bearer abcdef012345",
	"a key in a header": "x-api-key: abcdef012345",
	"a password for netrc": "machine h login u password abcdef",
	"a shared access signature of Azure": concat("", ["https://a.example.com/?sv=1&sig=", long]),
	"a Vault token": concat("", ["hvs.", long]),
	"an Azure storage key": concat("", ["AccountKey=", long]),
	"a PyPI token": concat("", ["pypi-", long]),
	"a DigitalOcean token": concat("", ["dop_v1_", long]),
	"a SendGrid key": concat("", ["SG.", substring(long, 0, 22), ".", substring(long, 0, 43)]),
	"the address of a Slack webhook": concat("", ["https://hooks.slack.com/services/T01/B01/", substring(long, 0, 24)]),
}

test_each_kind_is_found if {
	object.keys(samples) == object.keys(token.kinds)
	every what, text in samples {
		found(text) == {sprintf("this text holds %s", [what])}
	}
}

test_headers_of_other_spelling_are_found if {
	every text in [
		"authorization = \"basic abcdef012345\"",
		"AUTHORIZATION: Token abcdef012345",
		"{\"Authorization\": \"Bearer abcdef012345\"}",
		"AuTHorization: Bearer abcdef012345",
		"Authorization:\n  Bearer abcdef012345",
	] {
		found(text) == {"this text holds a token in a header"}
	}
}

test_keys_in_headers_of_other_names_are_found if {
	every text in ["X-Api-Key: abcdef012345", "X-AUTH-TOKEN=abcdef012345", "'X-Access-Token': 'abcdef012345'"] {
		found(text) == {"this text holds a key in a header"}
	}
	found("X-Api-Key: ${secret.api}") == set()
	found("machine h login u password ${secret.api}") == set()
	found("machine h password abcdef") != set()
}

test_what_stands_for_one_passes if {
	every text in ["Authorization: Bearer ${secret.api}", "Authorization: Bearer $TOKEN", "authorization: none", "eyJ", "the SG. team"] {
		found(text) == set()
	}
}

test_sources_are_read if {
	paths := {finding.path | some finding in token.deny} with input as {
		"object": {},
		"sources": {"files/a": concat("\n", ["x", samples["a Vault token"]])},
	}
	paths == {["sources", "files/a", 1]}
}
