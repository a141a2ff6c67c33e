package ordain.rules.lib.unseen_test

import data.ordain.rules.lib.lines
import data.ordain.rules.lib.unseen

places := ["/etc/a.d", "/etc/b"]

found(section, entry) := result if {
	result := {unseen.message(each): each.at | some each in unseen.at(places)} with input as {
		"object": {"spec": {section: [entry]}},
		"sources": {"files/a": "text"},
	}
}

test_artifacts_at_below_and_above if {
	every path in ["/etc/a.d", "/etc/a.d/x/y", "/etc", "/etc/b"] {
		found("artifacts", {"path": path}) == {sprintf("what %s would hold can't be judged, since it is an artifact", [path]): ["spec", "artifacts", 0, "path"]}
	}
}

test_links if {
	found("files", {"path": "/etc/b", "type": "symlink"}) == {"what /etc/b would hold can't be judged, since it is a symlink": ["spec", "files", 0, "path"]}
	found("files", {"path": "/etc/b", "type": "symlink", "absent": true}) == {}
	found("files", {"path": "/etc/b", "type": "directory"}) == {}
}

test_sources if {
	found("files", {"path": "/etc/b", "source": "files/b"}) == {"what /etc/b would hold can't be judged, since it is a source that is no text": ["spec", "files", 0, "path"]}
	found("files", {"path": "/etc/b", "source": "files/a"}) == {}
	found("files", {"path": "/etc/b", "source": "files/b", "absent": true}) == {}
	found("files", {"path": "/etc/b", "content": "x"}) == {}
}

test_large_texts if {
	text := concat("", ["x" | some _ in numbers.range(1, unseen.limit)])
	is := {"what /etc/b would hold can't be judged, since it is too large to be looked through": ["spec", "files", 0, "path"]}
	found("files", {"path": "/etc/b", "content": text}) == {}
	found("files", {"path": "/etc/b", "content": concat("", [text, "x"])}) == is
	from_source(text) == {}
	from_source(concat("", [text, "x"])) == is
}

from_source(text) := result if {
	result := {unseen.message(each): each.at | some each in unseen.at(places)} with input as {
		"object": {"spec": {"files": [{"path": "/etc/b", "source": "files/a"}]}},
		"sources": {"files/a": text},
	}
}

test_the_limit_is_that_of_lines if unseen.limit == lines.limit

test_other_places if {
	every path in ["/etc/a.dx", "/et", "/etc/c", "/etc/b2"] {
		found("artifacts", {"path": path}) == {}
	}
}

test_blocks_of_lines_are_unseen if {
	found := {entry.at | some entry in unseen.at(["/etc/sudoers"])} with input as {"object": {"spec": {"hostFiles": [
		{"path": "/etc/sudoers"},
		{"path": "/etc/hosts"},
		{"path": "/etc/sudoers", "absent": true},
	]}}}
	found == {["spec", "hostFiles", 0, "path"]}
}
