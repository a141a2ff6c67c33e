# METADATA
# title: Looking for secrets in texts
# description: |
#   Every text of a manifest, and every line of a component's source files, in which a shape is found. `words` are pieces
#   of text of which a match has at least one: most manifests have none, so one look at the whole of it is enough.
package ordain.rules.lib.secrets

places(words, shape) := {path | some path, _ in matches(words, shape)}

# Path → the first match there, with its groups.
matches(words, shape) := object.union(in_manifest(shape), in_sources(shape)) if suspicious(words)

else := {}

in_manifest(shape) := {path: found |
	walk(input.object, [path, text])
	is_string(text)
	found := regex.find_all_string_submatch_n(shape, text, 1)[0]
}

in_sources(shape) := {["sources", source, n]: found |
	some source, text in input.sources
	some n, line in split(text, "\n")
	found := regex.find_all_string_submatch_n(shape, line, 1)[0]
}

suspicious(words) if {
	some word in words
	contains(whole, word)
}

# Words in lower case are found in any.
suspicious(words) if {
	some word in words
	contains(folded, word)
}

folded := lower(whole)

# Made once, however many shapes a rule looks for.
whole := json.marshal([input.object, texts])

# Named by its field, or it would look as if the change were read.
default texts := {}

texts := input.sources
