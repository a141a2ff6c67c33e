# METADATA
# title: Nothing that was just fetched is run
# description: |
#   `curl … | sh` runs whatever a server answers at that moment: no digest holds it, nobody reviewed it, and it may differ
#   from host to host. It looks at what files, units and blocks of lines hold, and at the commands of checks, probes,
#   processes, containers and actions. It reads text and runs nothing: it sees curl and wget whose answer goes to a shell or another interpreter through a pipe, a substitution,
#   a variable, or a file of the same script. It does not see programs that fetch by themselves (python -c, pip, git), names
#   put together while a script runs, parameters' values, or what one file fetches and another runs.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   finished: true
#   severity: deny
#   code: supply-chain/remote-script
#   remedy: make an artifact of it, with its digest, and run that
package ordain.rules.supply_chain.remote_scripts

import data.ordain.result
import data.ordain.rules.lib.lines

fetched := `\b(?:curl|wget)\s`

# A program that runs what it reads, whichever program starts it.
interpreter := concat("", [
	`(?:(?:\S*/)?(?:sudo|doas|su|env|xargs|nohup|nice|time|timeout|exec|command|stdbuf|setsid|busybox)\s(?:[^|;&]*\s)?)?`,
	`(?:\S*/)?(?:(?:ba|da|k|z|a|c|tc|fi|mk)?sh|python[0-9.]*|perl|ruby|node|nodejs|php[0-9.]*|lua|pwsh)`,
])

ends := `(?:[\s;&|()<>]|$)`

substituted := concat("", [`(?:<+\s*)?(?:\$\(|<\(|`, "`", `)\s*(?:\S*/)?`, fetched])

# Piped into an interpreter, given to one, or taken up by the shell itself. One shape, since it looks at every line.
shape := concat("|", [
	concat("", [fetched, `(?:[^;]|;\S)*\|&?\s*`, interpreter, ends]),
	concat("", [`\b`, interpreter, `\s+(?:-\S+\s+)*`, substituted]),
	concat("", [`(?:\b(?:eval|source)|(?:^|[\s;&|])\.)\s+`, substituted]),
])

# What a file fetches: where it goes, the last part of the address, or the variable that holds it.
saves := concat("", [
	`\s(?:-[A-Za-z]*[oO]\s*|--output(?:-document)?[= ]\s*|>\s*)(?:[^\s;&|]*/)?([^\s;&|/)]+)`,
	`|https?://[^\s;&|]*/([^\s;&|/?)]+)`,
	`|\b([A-Za-z_]\w*)=(?:\$\(|`,
	"`",
	`)\s*(?:curl|wget)\s`,
])

# What a line runs, takes up, or makes a program.
runs := concat("", [
	`(?:^|[\s;&|(])(?:`,
	interpreter,
	`|\.|source|eval|chmod)\s+(?:-\S+\s+|<+\s*|[0-7]*[1357][0-7]*\s+|[augo]*\+[rwx]+\s+)*(?:\$\{?|[^\s;&|]*/)?([^\s;&|/)}<>]+)`,
])

deny contains result.at(rego.metadata.chain(), line.at, message) if {
	some at, file in lines.texts
	fetches(file)
	some line in lines.joined_within(at, file)
	not regex.match(`^\s*(#|//(\s|$))`, line.text)
	runs_it(at, lines.bare(line.text))
	message := sprintf("%s runs what it fetches", [file.path])
}

deny contains result.at(rego.metadata.chain(), ["spec", section, i, "path"], message) if {
	some section in ["files", "hostFiles"]
	some i, file in input.object.spec[section]
	lines.large(file)
	fetches(file)
	message := sprintf("%s fetches, and is too large to be looked through", [file.path])
}

deny contains result.at(rego.metadata.chain(), command.at, "this command runs what it fetches") if {
	some command in commands
	regex.match(shape, lines.bare(concat(" ", command.words)))
}

# The whole text at once, as most fetch nothing.
fetches(file) if regex.match(fetched, lines.bare(object.get(file, "content", "")))

fetches(file) if regex.match(fetched, lines.bare(input.sources[file.source]))

runs_it(_, text) if {
	regex.match(fetched, text) # a tenth of what the shape costs, and most lines fetch nothing
	regex.match(shape, text)
}

runs_it(at, text) if {
	names := saved[at]
	not names == set()
	some found in regex.find_all_string_submatch_n(runs, text, -1)
	found[1] in names
}

# By the text's place. One value, so that it is made once.
saved := {at: names |
	some at, file in lines.texts
	fetches(file)
	names := {name |
		some line in lines.joined_within(at, file)
		text := lines.bare(line.text)
		regex.match(fetched, text)
		some found in regex.find_all_string_submatch_n(saves, text, -1)
		some name in array.slice(found, 1, 4)
		name != ""
	}
}

commands contains {"at": ["spec", section, i, "command"], "words": entry.command} if {
	some section in ["processes", "containers", "probes"]
	some i, entry in input.object.spec[section]
}

commands contains {"at": ["spec", "actions", i, "run"], "words": action.run} if some i, action in input.object.spec.actions

commands contains {"at": ["spec", "files", i, "check"], "words": file.check} if some i, file in input.object.spec.files
