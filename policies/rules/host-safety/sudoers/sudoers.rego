# METADATA
# title: Drop-ins for sudo grant little, and only root may change them
# description: |
#   A file in /etc/sudoers.d decides who becomes root. It must not grant every command without a password, it must have
#   mode "0440" (sudo ignores others, or worse, lets them be edited), and visudo must have read it before it counts:
#   one syntax error there locks everybody out of sudo.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   finished: true
#   severity: deny
#   code: host-safety/sudoers
#   remedy: 'name the commands that are needed, set mode: "0440", and add check: [/usr/sbin/visudo, -cf, "{staged}"]'
package ordain.rules.host_safety.sudoers

import data.ordain.result
import data.ordain.rules.lib.lines
import data.ordain.rules.lib.unseen

directory := "/etc/sudoers.d"

# `§` stands where what needs no password begins, or an alias that may be granted so; `¤` where a password is asked again.
marked(text) := regex.replace(
	regex.replace(uncommented(text), `\bNOPASSWD\s*:|\bCmnd_Alias\s+\w+\s*=`, "§"),
	`\bPASSWD\s*:`,
	"¤",
)

# `#` and a number is an account.
uncommented(text) := regex.replace(text, `#(?:[^0-9-].*)?$`, "")

# Every command, each of a directory, or a program that runs whatever it is told.
everything := concat("", [
	`§(?:[^¤]*[,:)=])?\s*(?:!?\S*/\*?|ALL|\$\{[^}]*\}|`,
	`(?:/\S*)?/(?:(?:ba|da|k|z|c|tc|fi|a)?sh|su|env|busybox|perl|ruby|node|python[0-9.]*)(?:\s+(?:-c\b|\*)[^,:]*)?`,
	`)\s*(?:$|[,:])`,
])

# A whole command or its tags may come from a reference.
from_a_reference := `^\s*[^=]+=(?:[^=]*[,:)])?\s*\$\{`

deny contains result.at(rego.metadata.chain(), line.at, message) if {
	some i, file in drop_ins
	some line in lines.joined(i, file)
	why := wrong(line.text)
	message := sprintf("%s %s", [file.path, why])
}

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "mode"], message) if {
	some i, file in drop_ins
	not file.mode == "0440"
	message := sprintf("%s must have mode \"0440\"", [file.path])
}

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "owner"], message) if {
	some i, file in drop_ins
	not file.owner in {"root", "0"}
	message := sprintf("%s can be changed by %s", [file.path, file.owner])
}

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "check"], message) if {
	some i, file in drop_ins
	not checked(file)
	message := sprintf("%s is not read by visudo before it counts", [file.path])
}

deny contains result.at(rego.metadata.chain(), entry.at, unseen.message(entry)) if some entry in unseen.at([directory])

drop_ins[i] := file if {
	some i, file in input.object.spec.files
	lines.below(file.path, [directory])
	not file.absent
	not file.type == "directory"
}

wrong(text) := "grants every command without a password" if regex.match(everything, marked(text))

else := "includes other files, which nobody judged" if regex.match("^\\s*[@#]include(?:dir)?\\b", text)

else := "has sudo ask for no password" if {
	regex.match(`^\s*Defaults\b.*(?:!\s*authenticate|\bexempt_group)\b`, uncommented(text))
}

else := "takes commands from a reference, which may turn out to be any" if {
	regex.match(from_a_reference, uncommented(text))
	not regex.match(`^\s*(?:Defaults|\w+_Alias)\b`, text)
}

checked(file) if {
	file.check[0] in ["/usr/sbin/visudo", "/usr/bin/visudo", "/sbin/visudo"]
	arguments := concat(" ", array.slice(file.check, 1, count(file.check)))
	regex.match(`^(?:-[qs]+ )*-[qs]*c[qs]*(?:f| -[qs]*f)? \{staged\}$`, arguments)
}
