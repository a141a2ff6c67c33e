"""Rules, and asking OPA about them: a judge is what decides, `Policies` asks it.

`opa` finds the program, `server` runs it, `client` talks to it, `library` and `metadata` read rules,
`judge` puts them together with what `ordain.yaml` says of them, and `evaluate` asks about objects,
releases and changes. OPA trouble is a finding of its own (`action="error"`), never a pass.
"""
