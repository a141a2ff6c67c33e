# METADATA
# title: Hosts reboot when somebody expects it
# description: |
#   A component that reboots hosts without a window does so as soon as a wave reaches them, in the middle of the day as
#   well. With `always` every change of its fleet reboots them, however small.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: warn
#   code: reliability/reboot-window
#   remedy: 'add within: {cron: "0 3 * * *", duration: 2h}, in the hours of the hosts'
package ordain.rules.reliability.reboot_window

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "reboot"], message) if {
	reboot := input.object.spec.reboot
	not reboot.within
	message := sprintf("hosts reboot at any hour (when: %s)", [reboot.when])
}
