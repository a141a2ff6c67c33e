"""What the control plane and an agent must agree on, and nothing else.

Pure values and pure functions: no network, no clock and no global state.
`reconciler` may import this package and nothing else of `agent`.
"""
