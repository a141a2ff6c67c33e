# METADATA
# title: Content that can't be seen
# description: |
#   A rule that judges what stands in a file sees the manifest's content and sources of text, nothing else. Whatever else
#   puts something at such a place, above or below it, must not pass unseen.
package ordain.rules.lib.unseen

# Of characters, that of lib/lines.
limit := 65536

# What puts unseen content at one of these files or directories, or takes the place of one that holds them.
at(places) := {entry | some entry in all; touches(entry.path, places)}

message(entry) := sprintf("what %s would hold can't be judged, since it is %s", [entry.path, entry.is])

all contains {"at": ["spec", "artifacts", i, "path"], "path": artifact.path, "is": "an artifact"} if {
	some i, artifact in input.object.spec.artifacts
}

all contains {"at": ["spec", "files", i, "path"], "path": file.path, "is": "a symlink"} if {
	some i, file in input.object.spec.files
	file.type == "symlink"
	not file.absent
}

all contains {"at": ["spec", "files", i, "path"], "path": file.path, "is": "a source that is no text"} if {
	some i, file in input.object.spec.files
	source := file.source
	not input.sources[source]
	not file.absent
}

all contains {"at": ["spec", "files", i, "path"], "path": file.path, "is": "too large to be looked through"} if {
	some i, file in input.object.spec.files
	large(file)
}

all contains {"at": ["spec", "hostFiles", i, "path"], "path": block.path, "is": "a block of lines in a file that others write too"} if {
	some i, block in input.object.spec.hostFiles
	not block.absent
}

large(file) if count(file.content) > limit

large(file) if count(input.sources[file.source]) > limit

touches(path, places) if path in places

touches(path, places) if strings.any_prefix_match(path, {concat("", [place, "/"]) | some place in places})

touches(path, places) if above(path, places)

above(path, places) if strings.any_prefix_match(places, concat("", [path, "/"]))
