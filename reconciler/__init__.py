"""The control plane: `pipeline` turns git into signed releases, `control` brings them to agents.

The two are separate trust zones. They don't import each other, and talk only through the store.
"""
