"""How much of a fleet repository conforms to its rules: by rule, tenant, fleet and label, and from commit to commit.

An object conforms where no rule at deny or warn finds anything on it, waived or not. An agent conforms where all that it runs
does: its own manifest, the fleets that select it, and their components. What audit rules find is counted by rule alone.
"""
