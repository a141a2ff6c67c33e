package ordain.rules.secrets.named_values_test

import data.ordain.rules.secrets.named_values

found(spec) := result if {
	result := {finding.path: finding.message | some finding in named_values.deny} with input as {"object": {"spec": spec}}
}

default_of(name, value) := found({"parameters": {name: {"type": "string", "default": value}}})

test_names_of_secrets_are_found if {
	every name in ["password", "dbPassword", "DB_PASSWD", "clientSecret", "API_TOKEN", "apiKey", "aws-access-key", "credentials", "djangoSecretKey", "signing_key", "dbPass", "db_pass", "DB_PASS", "pass", "PASS", "dbPwd"] {
		default_of(name, "hunter2") == {["spec", "parameters", name, "default"]: sprintf("%s is named like a secret and has its value here", [name])}
	}
}

test_other_names_pass if {
	every name in ["passwordFile", "tokenEndpoint", "secretName", "keyboard", "key", "bypass", "compass", "publicKey"] {
		default_of(name, "hunter2") == {}
	}
}

test_what_is_no_secret_passes if {
	every value in ["", " ", "${secret.db}", "$DB_PASSWORD", "/run/secrets/db", "{{ vault }}", "file:///run/db", 3, true] {
		default_of("password", value) == {}
	}
	default_of("password", 999) == {}
	every value in ["a/b$", "/wJalrXUtnFEMI", "/a/b", "$ecret1", "$Ab", 1000, 12345678] {
		default_of("password", value) != {}
	}
}

test_each_place_is_looked_at if {
	object.keys(found({"parameters": {"token": {"enum": ["", "x"]}}})) == {["spec", "parameters", "token", "enum", 1]}
	object.keys(found({"processes": [{"environment": {"TOKEN": "x"}}]})) == {["spec", "processes", 0, "environment", "TOKEN"]}
	object.keys(found({"containers": [{"environment": {"TOKEN": "x"}}]})) == {["spec", "containers", 0, "environment", "TOKEN"]}
	object.keys(found({"includes": [{"parameters": {"token": "x"}}]})) == {["spec", "includes", 0, "parameters", "token"]}
	object.keys(found({"components": [{"parameters": {"token": "x"}}]})) == {["spec", "components", 0, "parameters", "token"]}
	object.keys(found({"variants": [{"parameters": {"app": {"token": "x"}}}]})) == {["spec", "variants", 0, "parameters", "app", "token"]}
	object.keys(found({"modes": [{"parameters": {"app": {"token": "x"}}}]})) == {["spec", "modes", 0, "parameters", "app", "token"]}
}
