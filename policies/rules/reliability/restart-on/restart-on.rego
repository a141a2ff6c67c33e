# METADATA
# title: Processes start again when their configuration changes
# description: |
#   A process that reads its configuration once goes on with the old one after a rollout, which then looks fine; the new
#   one takes effect at the next crash, months later, when nobody thinks of it. It knows files of the same component that
#   a process's command names.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: warn
#   code: reliability/stale-configuration
#   remedy: add the file to the process's restartOn
package ordain.rules.reliability.restart_on

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "processes", i, "restartOn"], message) if {
	some i, process in input.object.spec.processes
	some path in held
	some word in process.command
	names(word, path)
	not path in object.get(process, "restartOn", [])
	message := sprintf("process %s does not start again when %s changes", [process.name, path])
}

# What the containers of this component see of the host, they have read when they started.
deny contains result.at(rego.metadata.chain(), ["spec", "containers", i, "restartOn"], message) if {
	some i, container in input.object.spec.containers
	some volume in container.volumes
	volume.source in contents
	not volume.source in object.get(container, "restartOn", [])
	message := sprintf("container %s does not start again when %s changes", [container.name, volume.source])
}

# What a directory holds changes without the directory.
contents contains file.path if {
	some file in input.object.spec.files
	not file.type == "directory"
}

held contains file.path if some file in input.object.spec.files

held contains artifact.path if some artifact in input.object.spec.artifacts

names(path, path)

names(word, path) if endswith(word, concat("", ["=", path]))
