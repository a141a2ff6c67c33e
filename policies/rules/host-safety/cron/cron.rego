# METADATA
# title: Cron jobs run, and only root may change them
# description: |
#   Cron runs what lies in /etc/cron.d and /etc/cron.daily as root. A job that others may write makes them root; one whose
#   name holds a dot is skipped without a word, so backups stop and nobody hears of it. Personal tables under
#   /var/spool/cron belong to the crontab program, which would overwrite them.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   finished: true
#   severity: deny
#   code: host-safety/cron
#   remedy: 'put it into /etc/cron.d, with a name of letters, digits, - and _, owner root and mode: "0644"'
package ordain.rules.host_safety.cron

import data.ordain.result
import data.ordain.rules.lib.lines
import data.ordain.rules.lib.unseen

directories := ["/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"]

personal := ["/var/spool/cron"]

tables := ["/etc/crontab", "/etc/anacrontab"]

# Any account may put a file there.
shared := `(?:/tmp|/var/tmp|/dev/shm)`

# A file of such a directory, one in which programs are looked for, or one that a job goes to before it runs something.
trusts_it := concat("", [
	`(?:^|[^A-Za-z0-9._/-])`,
	shared,
	`/|\b(?:PATH|HOME|SHELL|ENV|BASH_ENV)\s*=\s*(?:[^\s;]*:)?`,
	shared,
	`(?:[:;\s]|$)|\b(?:cd|pushd)\s+(?:-\S+\s+)*`,
	shared,
	`(?:[\s;&|]|$)`,
])

# What a job only writes to.
redirect := `[0-9&]?>>?[|&]?\s*[^\s;&|]+`

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "path"], message) if {
	some i, file in input.object.spec.files
	lines.below(file.path, personal)
	message := sprintf("%s belongs to the crontab program", [file.path])
}

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "path"], message) if {
	some i, file in jobs
	lines.below(file.path, directories)
	not regex.match(`/[A-Za-z0-9_-]+$`, file.path)
	message := sprintf("cron skips %s, because of its name", [file.path])
}

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "owner"], message) if {
	some i, file in jobs
	not file.owner in {"root", "0"}
	message := sprintf("%s is run as root and can be changed by %s", [file.path, file.owner])
}

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "mode"], message) if {
	some i, file in jobs
	regex.match(`[2367].$`, file.mode)
	message := sprintf("%s is run as root and can be changed by its group (mode %s)", [file.path, file.mode])
}

deny contains result.at(rego.metadata.chain(), line.at, message) if {
	some i, file in jobs
	some line in lines.joined(i, file)
	not regex.match(`^\s*#`, line.text)
	regex.match(trusts_it, normal(line.text))
	message := sprintf("%s uses a directory in which any account may put another file first", [file.path])
}

deny contains result.at(rego.metadata.chain(), entry.at, unseen.message(entry)) if {
	some entry in unseen.at(array.concat(array.concat(directories, tables), personal))
}

# Without quotes, and with the shortest spelling of each path.
normal(text) := regex.replace(regex.replace(lines.bare(text), `/(?:\.?/)+`, "/"), redirect, " ")

jobs[i] := file if {
	some i, file in input.object.spec.files
	of_cron(file.path)
	not file.absent
}

of_cron(path) if path in array.concat(directories, tables)

of_cron(path) if lines.below(path, directories)
