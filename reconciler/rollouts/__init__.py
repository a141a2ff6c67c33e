"""How a release gets to its hosts: who is in which wave, and when one may start.

What both zones use: `control` runs waves by these functions, and `ordain plan` predicts by the same ones. So nothing here
knows manifests, the store or the clock: strategies come as the controls hold them (durations in whole seconds), times are passed in.
"""
