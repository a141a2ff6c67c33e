# METADATA
# title: Lines of what a component puts on a host
# description: |
#   Lines of a file's content, from the manifest or from its source, each with the place that a finding has. A text that is
#   large gives no lines: who asks for them must refuse it.
package ordain.rules.lib.lines

# Characters that are looked through, line by line: ten times the largest file of its sort that distributions bring, and
# what hostile lines can hold up for half a second.
limit := 65536

large(file) if count(file.content) > limit

large(file) if count(input.sources[file.source]) > limit

of(i, file) := within(["spec", "files", i, "content"], file)

# Lines of a text that stands at a place, or in a source.
within(_, text) := [] if large(text)

within(at, text) := array.concat(
	[{"at": array.concat(at, [n]), "text": line} | some n, line in split(text.content, "\n")],
	[{"at": ["sources", text.source, n], "text": line} | some n, line in split(input.sources[text.source], "\n")],
) if {
	not large(text)
}

# Every text that a component puts on a host, by its place: files, units with their drop-ins and timers, blocks of lines.
texts[["spec", "files", i, "content"]] := file if some i, file in input.object.spec.files

texts[["spec", "services", i, "unit"]] := unit if {
	some i, service in input.object.spec.services
	unit := {"path": service.name, "content": object.get(service, "unit", ""), "source": object.get(service, "source", "")}
}

texts[["spec", "services", i, "timer"]] := {"path": service.name, "content": service.timer} if {
	some i, service in input.object.spec.services
}

texts[["spec", "services", i, "dropIns", j, "content"]] := {"path": path, "content": drop_in.content} if {
	some i, service in input.object.spec.services
	some j, drop_in in service.dropIns
	path := sprintf("%s of %s", [drop_in.name, service.name])
}

texts[["spec", "hostFiles", i, "content"]] := block if some i, block in input.object.spec.hostFiles

# Those, and what a `\` at the end of lines makes one line of: that is at all of them, so whoever changes one changes what was found.
joined(i, file) := joined_within(["spec", "files", i, "content"], file)

joined_within(_, text) := [] if large(text)

joined_within(at, text) := array.concat(
	[line | some line in numbered(at, text.content)],
	[line | some line in numbered(["sources", text.source], input.sources[text.source])],
) if {
	not large(text)
}

numbered(at, text) := array.concat(
	[{"at": array.concat(at, object.get(begun, n, [n])), "text": line} | some n, line in split(text, "\n")],
	[{"at": array.concat(at, span), "text": line} | some span, line in joint],
) if {
	joint := runs(text)
	begun := {span[0]: span | some span, _ in joint}
}

# The numbers of the first and the last line → what they and those between are as one. Most texts hold no `\`, so that is asked first.
runs(text) := {[start, ends[k] - 1]: line |
	contains(text, `\`)
	lines := [trim_right(line, " \t\r") | some line in split(text, "\n")]
	continued := {(n + 1) | some n, line in lines; endswith(line, `\`)}
	starts := [n | some n, _ in lines; not n in continued]
	ends := array.concat(array.slice(starts, 1, count(starts)), [count(lines)])
	some k, start in starts
	ends[k] > start + 1
	line := concat("", [trim_suffix(part, `\`) | some part in array.slice(lines, start, ends[k])])
}

# Without quotes and backslashes, which programs take away before they look at a word.
bare(text) := strings.replace_n({`"`: "", "'": "", `\`: ""}, text)

# A path is in a directory; the directory itself is not.
below(path, directories) if {
	some end in indexof_n(path, "/")
	substring(path, 0, end) in directories
}
