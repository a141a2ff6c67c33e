# METADATA
# title: The kernel's modules and boot options are the image's
# description: |
#   A wrong module or boot option shows at the next start, on all hosts of a fleet at once, when no agent runs that could
#   take it back. Bring them with the image, which is tried by booting it.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: host-safety/kernel-files
#   remedy: build it into the image of the hosts; values that a running kernel takes belong into /etc/sysctl.d
#   parameters:
#     paths:
#       - /etc/modules
#       - /etc/modules-load.d
#       - /etc/modprobe.d
#       - /etc/depmod.d
#       - /etc/initramfs-tools
#       - /etc/dracut.conf
#       - /etc/dracut.conf.d
#       - /etc/mkinitcpio.conf
#       - /etc/default/grub
#       - /etc/default/grub.d
#       - /etc/grub.d
#       - /etc/kernel
#       - /etc/kexec.conf
package ordain.rules.host_safety.kernel_files

import data.ordain.result
import data.ordain.rules.lib.landing
import data.ordain.rules.lib.lines
import data.ordain.rules.lib.unseen

deny contains result.at(rego.metadata.chain(), entry.at, message) if {
	some entry in landing.all
	at_boot(entry.path)
	message := sprintf("%s decides how a host starts", [entry.path])
}

deny contains result.at(rego.metadata.chain(), entry.at, unseen.message(entry)) if {
	some entry in unseen.all
	unseen.above(entry.path, input.parameters.paths)
}

at_boot(path) if path in input.parameters.paths

at_boot(path) if lines.below(path, input.parameters.paths)
