# METADATA
# title: Paths that a host can't lose stay out of reach
# description: |
#   A fleet that writes accounts, boot files, the kernel's own trees or ordain's own state can lock everybody out of
#   all its hosts at once. parameters.files are paths, parameters.directories are trees; an absent file counts too,
#   and so do blocks of lines, and services by their unit files.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: host-safety/protected-path
#   remedy: use a drop-in beside it (/etc/sudoers.d, /etc/sysctl.d, /etc/ssh/sshd_config.d, …) or leave it to the host's image
#   parameters:
#     files:
#       - /etc/passwd
#       - /etc/shadow
#       - /etc/group
#       - /etc/gshadow
#       - /etc/sudoers
#       - /etc/fstab
#       - /etc/crypttab
#       - /etc/machine-id
#       - /etc/ld.so.preload
#       - /etc/nsswitch.conf
#       - /etc/pam.conf
#       - /etc/ssh/sshd_config
#       - /etc/systemd/system/ordain-agent.service
#       - /etc/systemd/system/ordain-agent-recover.service
#       - /opt/ordain/launcher
#       - /opt/ordain/current
#     directories:
#       - /boot
#       - /dev
#       - /proc
#       - /sys
#       - /bin
#       - /sbin
#       - /lib
#       - /lib64
#       - /usr/bin
#       - /usr/sbin
#       - /usr/lib
#       - /usr/lib32
#       - /usr/lib64
#       - /usr/libexec
#       - /etc/pam.d
#       - /etc/security
#       - /etc/ld.so.conf.d
#       - /etc/ordain
#       - /var/lib/ordain
#       - /var/lib/ordain-agent
#       - /etc/systemd/system/ordain-agent.service.d
#       - /etc/systemd/system/ordain-agent-recover.service.d
package ordain.rules.host_safety.protected_paths

import data.ordain.result
import data.ordain.rules.lib.landing

deny contains result.at(rego.metadata.chain(), entry.at, message) if {
	some entry in landing.all
	protected(entry.path)
	message := sprintf("%s is protected: fleets must not write it", [entry.path])
}

deny contains result.at(rego.metadata.chain(), ["spec", section, i, "path"], message) if {
	some section in ["files", "artifacts"]
	some i, entry in input.object.spec[section]
	takes_the_place(section, entry)
	below := concat("", [entry.path, "/"])
	strings.any_prefix_match(everything, below)
	held := {path | some path in everything; startswith(path, below)}
	message := sprintf("%s holds %s, and would take its place", [entry.path, concat(", ", held)])
}

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "path"], message) if {
	some i, file in input.object.spec.files
	file.type == "directory"
	strings.any_prefix_match(everything, concat("", [file.path, "/"]))
	changes_who_may(file)
	message := sprintf("%s holds protected paths: it stays root's, with mode \"0755\"", [file.path])
}

changes_who_may(file) if not object.get(file, "mode", "0755") == "0755"

changes_who_may(file) if not object.get(file, "owner", "root") in {"root", "0"}

changes_who_may(file) if not object.get(file, "group", "root") in {"root", "0"}

everything := array.concat(input.parameters.files, input.parameters.directories)

protected(path) if path in everything

protected(path) if {
	some end in indexof_n(path, "/")
	substring(path, 0, end) in input.parameters.directories
}

# A file's parents are only made where they are missing; these take the place of whatever is there.
takes_the_place("files", file) if file.absent

takes_the_place("files", file) if file.type == "symlink"

takes_the_place("artifacts", _)
