# METADATA
# title: Paths that a component writes
# description: |
#   Files and artifacts say it themselves; a service's unit file, drop-ins and timer, a container's Quadlet file and a block
#   of lines in somebody else's file have one too. `at` is where the manifest says so.
package ordain.rules.lib.landing

all contains {"at": ["spec", section, i, "path"], "path": entry.path} if {
	some section in ["files", "artifacts", "hostFiles"]
	some i, entry in input.object.spec[section]
}

all contains {"at": ["spec", "services", i, "name"], "path": path} if {
	some i, service in input.object.spec.services
	some path in units(service)
}

all contains {"at": ["spec", "services", i, "dropIns", j, "name"], "path": path} if {
	some i, service in input.object.spec.services
	some j, drop_in in service.dropIns
	path := sprintf("/etc/systemd/system/%s.d/%s", [service.name, drop_in.name])
}

all contains {"at": ["spec", "containers", i, "name"], "path": path} if {
	some i, container in input.object.spec.containers
	path := sprintf("/etc/containers/systemd/%s.container", [container.name])
}

# A unit that is stopped, masked or restarted belongs to whoever brought it, and is as good as written.
units(service) := {concat("", ["/etc/systemd/system/", service.name])} | {path |
	service.timer
	path := sprintf("/etc/systemd/system/%s.timer", [trim_suffix(service.name, ".service")])
}
