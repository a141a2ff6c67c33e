# METADATA
# title: Containers see of a host only what is theirs
# description: |
#   A container that sees the host's root, its accounts or the socket of its container engine is none: whoever takes it over
#   has the host. parameters.refused are paths that no container may see, nor what holds them; parameters.networks are
#   networks that none may be in, since there it meets what listens on the host for itself alone.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: host-safety/container-mount
#   remedy: give it a directory of its own below /srv or /var/lib, and publish its ports
#   parameters:
#     refused: [/boot, /dev, /etc/passwd, /etc/shadow, /etc/ssh, /etc/ordain, /proc, /root, /sys, /run/docker.sock, /run/podman, /run/systemd, /var/lib/ordain-agent, /var/run]
#     networks: [host]
package ordain.rules.host_safety.container_mounts

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "containers", i, "volumes", j, "source"], message) if {
	some i, container in input.object.spec.containers
	some j, volume in container.volumes
	refused(volume.source)
	message := sprintf("container %s sees %s of the host", [container.name, volume.source])
}

deny contains result.at(rego.metadata.chain(), ["spec", "containers", i, "network"], message) if {
	some i, container in input.object.spec.containers
	container.network in input.parameters.networks
	message := sprintf("container %s is in network %s", [container.name, container.network])
}

refused(source) if {
	some path in input.parameters.refused
	startswith(concat("", [source, "/"]), concat("", [path, "/"]))
}

# What holds it, and so shows it too.
refused(source) if {
	some path in input.parameters.refused
	startswith(path, concat("", [source, "/"]))
}
