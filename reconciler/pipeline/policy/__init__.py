"""Rules, and asking OPA about them: a judge is what decides, `Policies` asks it.

`library` and `metadata` read rules (`reconciler.opa` runs the program that evaluates them),
`judge` puts them together with what `ordain.yaml` says of them, and `evaluate` asks about objects,
releases and changes. OPA trouble is a finding of its own (`action="error"`), never a pass.
"""
