package ordain.rules.secrets.password_in_address_test

import data.ordain.rules.secrets.password_in_address

found(text) := result if {
	result := {finding.path | some finding in password_in_address.deny} with input as {"object": {"spec": {"text": text}}}
}

test_passwords_are_found if {
	every text in [
		"postgres://app:hunter2@db.example.com/app",
		"see https://user:word@example.com/x for more",
		"redis://:word@127.0.0.1:6379/0",
		"postgres://u:%C3hunter2@h/db",
		"redis://:$ecret1@h",
		"postgresql://h/db?user=u&password=hunter2",
		"jdbc:mysql://h/db?PASSWD=b",
		"jdbc:sqlserver://h;user=a;pwd=b",
	] {
		found(text) == {["spec", "text"]}
	}
}

test_each_line_with_one_is_named if {
	found("amqp://a:${secret.b}@c\nurl = \"amqp+ssl://a:b@c\"\nx\namqp://a:b@c\n") == {["spec", "text", 1], ["spec", "text", 3]}
}

test_what_stands_for_one_passes if {
	every text in [
		"postgres://app:${secret.db}@db.example.com/app",
		"postgres://app:$PASSWORD@db.example.com/app",
		"postgres://app:{{password}}@db.example.com/app",
		"postgres://app:%(password)s@db.example.com/app",
		"postgres://app:$db_password@db.example.com/app",
		"postgres://app:%PASSWORD%@db.example.com/app",
		"postgres://app:%s@db.example.com/app",
		"postgres://app:$1@db.example.com/app",
		"postgres://db.example.com/app?password=${secret.db}",
		"https://example.com/reset?nopassword=1",
		"password=hunter2",
		"postgres://app:****@db.example.com/app",
		"https://example.com:8443/@x",
		"https://user@example.com/",
		"http://127.0.0.1:80/a:b@c",
		"ssh://git@example.com:22/x",
	] {
		found(text) == set()
	}
}

test_a_word_is_never_repeated if {
	messages := {finding.message | some finding in password_in_address.deny} with input as {"object": {"a": "x://a:hunter2@c"}}
	messages == {"an address in this text holds a password"}
}

test_sources_are_read if {
	paths := {finding.path | some finding in password_in_address.deny} with input as {
		"object": {},
		"sources": {"files/a": "x\nurl=mysql://a:b@c\n"},
	}
	paths == {["sources", "files/a", 1]}
}
