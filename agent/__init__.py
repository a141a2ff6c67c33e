"""What a host installs: fetch, verify, admit and apply signed desired state.

Nothing in here imports `reconciler`; what both sides must agree on is `agent.protocol`.
"""
