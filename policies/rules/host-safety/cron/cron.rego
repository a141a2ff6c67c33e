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
#   severity: deny
#   code: host-safety/cron
#   remedy: 'put it into /etc/cron.d, with a name of letters, digits, - and _, owner root and mode: "0644"'
package ordain.rules.host_safety.cron

import data.ordain.result
import data.ordain.rules.lib.lines

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "path"], message) if {
	some i, file in input.object.spec.files
	lines.below(file.path, ["/var/spool/cron"])
	message := sprintf("%s belongs to the crontab program", [file.path])
}

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "path"], message) if {
	some i, file in jobs
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
	some line in lines.of(i, file)
	regex.match(`^[^#]*[\s"'=](/tmp|/var/tmp|/dev/shm)/[^>]*$`, line.text)
	not regex.match(`>\s*(/tmp|/var/tmp|/dev/shm)/`, line.text)
	message := sprintf("%s uses a directory in which any account may put another file first", [file.path])
}

jobs[i] := file if {
	some i, file in input.object.spec.files
	lines.below(file.path, ["/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"])
	not file.absent
}
