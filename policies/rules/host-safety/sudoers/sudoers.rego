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
#   severity: deny
#   code: host-safety/sudoers
#   remedy: 'name the commands that are needed, set mode: "0440", and add check: [/usr/sbin/visudo, -cf, "{staged}"]'
package ordain.rules.host_safety.sudoers

import data.ordain.result

grants_everything := `^[^#]*NOPASSWD:(?:[A-Z_]+:)*\s*(?:[^,#]*,\s*)*ALL\s*(?:,|$)`

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "content"], message) if {
	some i, file in drop_ins
	some line in split(file.content, "\n")
	regex.match(grants_everything, line)
	message := sprintf("%s grants every command without a password", [file.path])
}

deny contains result.at(rego.metadata.chain(), ["sources", file.source, n], message) if {
	some file in drop_ins
	some n, line in split(input.sources[file.source], "\n")
	regex.match(grants_everything, line)
	message := sprintf("%s grants every command without a password", [file.path])
}

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "mode"], message) if {
	some i, file in drop_ins
	not file.mode == "0440"
	message := sprintf("%s must have mode \"0440\"", [file.path])
}

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "check"], message) if {
	some i, file in drop_ins
	not checked(file)
	message := sprintf("%s is not read by visudo before it counts", [file.path])
}

drop_ins[i] := file if {
	some i, file in input.object.spec.files
	startswith(file.path, "/etc/sudoers.d/")
	not file.absent
}

checked(file) if regex.match(`(^|/)visudo$`, file.check[0])
