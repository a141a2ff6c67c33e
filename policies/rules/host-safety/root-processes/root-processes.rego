# METADATA
# title: Processes do not run as root
# description: |
#   A process that runs as root gives the whole host to whoever finds one fault in it. One that names no user runs as root
#   too, and so does a container whose image is asked, or a unit that a component brings without User= or DynamicUser=
#   in it. A unit or a Quadlet file among the files is judged as what it is. parameters.allowed are names of processes,
#   containers and services that need it, a node exporter of hardware counters, say.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   finished: true
#   severity: deny
#   code: host-safety/root-process
#   remedy: 'give it an account of its own (user: app, or User=app in a unit), or name it in parameters.allowed'
#   parameters:
#     allowed: []
package ordain.rules.host_safety.root_processes

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "processes", i, "user"], message) if {
	some i, process in input.object.spec.processes
	is_root(object.get(process, "user", "root"))
	not process.name in input.parameters.allowed
	message := sprintf("process %s runs as root", [process.name])
}

deny contains result.at(rego.metadata.chain(), ["spec", "containers", i, "user"], message) if {
	some i, container in input.object.spec.containers
	is_root(split(object.get(container, "user", "root"), ":")[0])
	not container.name in input.parameters.allowed
	message := sprintf("container %s runs as root", [container.name])
}

deny contains result.at(rego.metadata.chain(), ["spec", "services", i, "name"], message) if {
	some i, service in input.object.spec.services
	endswith(service.name, ".service")
	not service.name in input.parameters.allowed
	runs_as_root(service)
	message := sprintf("service %s runs as root", [service.name])
}

# A file where systemd or Podman reads what to start, written as a file. Its name tells what it is.
deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "path"], message) if {
	some i, file in input.object.spec.files
	strings.any_prefix_match(file.path, {"/etc/systemd/system/", "/run/systemd/system/", "/etc/containers/systemd/"})
	strings.any_suffix_match(file.path, {".service", ".container"})
	name := regex.replace(file.path, `^.*/`, "")
	not name in input.parameters.allowed
	runs_as_root({"unit": object.get(file, "content", ""), "source": object.get(file, "source", "")})
	message := sprintf("%s runs as root", [name])
}

# Any number of zeros is the same user.
is_root(user) if user in {"", "root"}

is_root(user) if regex.match(`^0+$`, user)

runs_as_root(service) if {
	said := users(service)
	is_root(said[count(said) - 1])
}

# A unit that the component brings, and says nobody.
runs_as_root(service) if {
	text := input.sources[service.source]
	count(users(service)) == 0
	starts(text)
}

runs_as_root(service) if {
	count(users(service)) == 0
	starts(service.unit)
}

starts(text) if contains(text, "[Service]")

starts(text) if contains(text, "[Container]")

# Whom the unit and its drop-ins name, in their order: the last one counts.
users(service) := [user |
	some text in texts(service)
	some line in split(text, "\n")
	match := regex.find_all_string_submatch_n(`^\s*(User|DynamicUser)\s*=\s*(\S*)`, line, 1)[0]
	user := named(match[1], match[2])
]

named("User", user) := user

named("DynamicUser", value) := "one of its own" if lower(value) in {"yes", "true", "1", "on"}

texts(service) := array.concat([text | text := service.unit], array.concat(
	[text | text := input.sources[service.source]],
	[drop_in.content | some drop_in in service.dropIns],
))
