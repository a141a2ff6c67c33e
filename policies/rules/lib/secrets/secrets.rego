# METADATA
# title: Looking for secrets in texts
# description: |
#   Every line of a manifest's texts and of a component's source files in which a shape is found; a text as a whole where
#   what is found goes over several of its lines. `words` are pieces of text of which a match has at least one: most
#   manifests have none, so one look at the whole of it is enough.
package ordain.rules.lib.secrets

places(words, shape) := {path | some path, _ in matches(words, shape)}

# Path → the first match there, with its groups.
matches(words, shape) := object.union(in_manifest(shape), in_sources(shape)) if suspicious(words)

else := {}

in_manifest(shape) := {path: found |
	walk(input.object, [at, text])
	is_string(text)
	all := regex.find_all_string_submatch_n(shape, text, -1)
	some line, found in placed(shape, text, all)
	path := array.concat(at, line)
}

# Matches by the line of a text, or `[]` for all of it: most texts hold none, so the whole is looked at first.
placed(shape, text, all) := object.union(on_lines(shape, text), {[]: found | found := over_lines(all)}) if {
	count(all) > 0
	contains(text, "\n")
}

placed(_, text, all) := {[]: all[0]} if not contains(text, "\n")

on_lines(shape, text) := {[n]: found |
	some n, line in split(text, "\n")
	found := regex.find_all_string_submatch_n(shape, line, 1)[0]
}

over_lines(all) := [found | some found in all; contains(trim_space(found[0]), "\n")][0]

in_sources(shape) := {["sources", source, n]: found |
	some source, text in input.sources
	some n, line in split(text, "\n")
	found := regex.find_all_string_submatch_n(shape, line, 1)[0]
}

# All lines of the text at a place; what is no text has none.
lines_at(at) := split(input.sources[at[1]], "\n") if at[0] == "sources"

else := split(text, "\n") if {
	text := object.get(input.object, at, 0)
	is_string(text)
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
