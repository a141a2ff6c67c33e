# METADATA
# title: Lines of what a component puts on a host
# description: |
#   Lines of a file's content, from the manifest or from its source, each with the place that a finding has: a line of a
#   source file, but all of `content`, since YAML may fold lines. A text that is large gives no lines: who asks for them
#   must refuse it.
package ordain.rules.lib.lines

# Characters that are looked through, line by line: ten times the largest file of its sort that distributions bring, and
# what hostile lines can hold up for half a second.
limit := 65536

large(file) if count(file.content) > limit

large(file) if count(input.sources[file.source]) > limit

of(_, file) := [] if large(file)

of(i, file) := array.concat(
	[{"at": ["spec", "files", i, "content"], "text": text} | some text in split(file.content, "\n")],
	[{"at": ["sources", file.source, n], "text": text} | some n, text in split(input.sources[file.source], "\n")],
) if {
	not large(file)
}

# Those, and what a `\` at the end of lines makes one line of.
joined(_, file) := [] if large(file)

joined(i, file) := array.concat(of(i, file), array.concat(
	[{"at": ["spec", "files", i, "content"], "text": text} | some text in runs(file.content)],
	[{"at": ["sources", file.source, n], "text": text} | some n, text in runs(input.sources[file.source])],
)) if {
	not large(file)
}

# The first line's number → it and the lines that it goes on in. Most texts hold no `\`, so that is asked first.
runs(text) := {start: line |
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
