# METADATA
# title: Lines of what a component puts on a host
# description: |
#   Lines of a file's content, from the manifest or from its source, each with the place that a finding has: a line of a
#   source file, but all of `content`, since YAML may fold lines.
package ordain.rules.lib.lines

of(i, file) := array.concat(
	[{"at": ["spec", "files", i, "content"], "text": text} | some text in split(file.content, "\n")],
	[{"at": ["sources", file.source, n], "text": text} | some n, text in split(input.sources[file.source], "\n")],
)

# A path is in a directory; the directory itself is not.
below(path, directories) if {
	some end in indexof_n(path, "/")
	substring(path, 0, end) in directories
}
