package ordain.rules.lib.lines_test

import data.ordain.rules.lib.lines

test_lines_of_content if {
	lines.of(2, {"path": "/a", "content": "x\ny"}) == [
		{"at": ["spec", "files", 2, "content", 0], "text": "x"},
		{"at": ["spec", "files", 2, "content", 1], "text": "y"},
	]
}

test_lines_of_a_source if {
	found := lines.of(2, {"path": "/a", "source": "files/a"}) with input as {"sources": {"files/a": "x\ny"}}
	found == [
		{"at": ["sources", "files/a", 0], "text": "x"},
		{"at": ["sources", "files/a", 1], "text": "y"},
	]
}

test_a_large_text_gives_no_lines if {
	text := concat("", ["x" | some _ in numbers.range(1, lines.limit)])
	larger := concat("", [text, "\\\nx"])
	every give in [lines.of(0, {"path": "/a", "content": text}), lines.joined(0, {"path": "/a", "content": text})] {
		count(give) == 1
	}
	count(lines.of(0, {"path": "/a", "source": "files/a"})) == 1 with input as {"sources": {"files/a": text}}
	lines.of(0, {"path": "/a", "content": larger}) == []
	lines.joined(0, {"path": "/a", "content": larger}) == []
	lines.of(0, {"path": "/a", "source": "files/a"}) == [] with input as {"sources": {"files/a": larger}}
	lines.joined(0, {"path": "/a", "source": "files/a"}) == [] with input as {"sources": {"files/a": larger}}
}

test_a_directory_has_none if lines.of(0, {"path": "/a", "type": "directory"}) == []

test_a_path_below_a_directory if {
	lines.below("/etc/cron.d/a", ["/x", "/etc/cron.d"])
	not lines.below("/etc/cron.d", ["/etc/cron.d"])
	not lines.below("/etc/cron.daily/a", ["/etc/cron.d"])
}

test_lines_that_go_on if {
	lines.runs("a\nb \\\nc\\ \nd\ne\\\nf") == {[1, 3]: "b cd", [4, 5]: "ef"}
	lines.runs("a\nb") == {}
	lines.runs("a\\b\nc") == {}
}

test_lines_come_alone_and_as_one if {
	lines.joined(2, {"path": "/a", "content": "x\\\ny\nz"}) == [
		{"at": ["spec", "files", 2, "content", 0, 1], "text": "x\\"},
		{"at": ["spec", "files", 2, "content", 1], "text": "y"},
		{"at": ["spec", "files", 2, "content", 2], "text": "z"},
		{"at": ["spec", "files", 2, "content", 0, 1], "text": "xy"},
	]
	found := lines.joined(2, {"path": "/a", "source": "files/a"}) with input as {"sources": {"files/a": "w\nx\\\ny"}}
	found[3] == {"at": ["sources", "files/a", 1, 2], "text": "xy"}
	count(found) == 4
}

test_words_without_quotes if lines.bare(`y"e's'"\s`) == "yess"

test_texts_of_all_sorts_have_their_places if {
	found := lines.texts with input as {"object": {"spec": {
		"files": [{"path": "/a", "content": "x"}],
		"services": [
			{"name": "a.service", "source": "files/a", "timer": "t", "dropIns": [{"name": "b.conf", "content": "d"}]},
			{"name": "b.service", "unit": "u"},
		],
		"hostFiles": [{"path": "/etc/hosts", "content": "h"}],
	}}}
	found == {
		["spec", "files", 0, "content"]: {"path": "/a", "content": "x"},
		["spec", "services", 0, "unit"]: {"path": "a.service", "content": "", "source": "files/a"},
		["spec", "services", 0, "timer"]: {"path": "a.service", "content": "t"},
		["spec", "services", 0, "dropIns", 0, "content"]: {"path": "b.conf of a.service", "content": "d"},
		["spec", "services", 1, "unit"]: {"path": "b.service", "content": "u", "source": ""},
		["spec", "hostFiles", 0, "content"]: {"path": "/etc/hosts", "content": "h"},
	}
}
