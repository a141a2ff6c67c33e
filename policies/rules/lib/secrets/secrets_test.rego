package ordain.rules.lib.secrets_test

import data.ordain.rules.lib.secrets

object(text) := {"object": {"spec": {"texts": [1, text]}}}

test_texts_of_a_manifest if {
	secrets.matches(["key"], `key-(\d)`) == {["spec", "texts", 1]: ["key-1", "1"]} with input as object("a key-1 and key-2")
	secrets.places(["key"], `key-(\d)`) == {["spec", "texts", 1]} with input as object("a key-1 and key-2")
}

test_lines_of_texts_of_a_manifest if {
	secrets.matches(["key"], `key-(\d)`) == {
		["spec", "texts", 1, 0]: ["key-1", "1"],
		["spec", "texts", 1, 2]: ["key-2", "2"],
	} with input as object("a key-1\nb\nkey-2 key-3\n")
}

test_what_goes_over_lines_is_of_the_whole_text if {
	secrets.places(["key"], `key\s+\d\s`) == {["spec", "texts", 1], ["spec", "texts", 1, 3]} with input as object("a\nkey\n1\nkey 2 \n")
}

test_lines_at_a_place if {
	secrets.lines_at(["spec", "texts", 1]) == ["a", "b"] with input as {
		"object": {"spec": {"texts": [1, "a\nb"]}},
		"sources": {"texts": "x"},
	}
	secrets.lines_at(["sources", "files/a"]) == ["a", ""] with input as {"object": {}, "sources": {"files/a": "a\n"}}
	not secrets.lines_at(["spec", "texts", 0]) with input as object("a")
}

test_a_manifest_without_any_of_the_words_is_not_searched if {
	secrets.places(["other", "words"], `key-(\d)`) == set() with input as object("key-1")
	secrets.places(["other", "key"], `key-(\d)`) == {["spec", "texts", 1]} with input as object("key-1")
}

test_lines_of_sources if {
	found := secrets.places(["key"], `key-(\d)`) with input as {"object": {}, "sources": {"files/a": "x\nkey-1\n"}}
	found == {["sources", "files/a", 1]}
}

test_words_in_lower_case_are_found_in_any if {
	secrets.suspicious(["other", "key-a"]) with input as object("KEY-A")
	secrets.suspicious(["Key-A"]) with input as object("Key-A")
	not secrets.suspicious(["Key-A"]) with input as object("key-a")
}
