"""How a host goes from one generation to another, or stays where it is: plan, stage, check, journal, switch, commit.

Up to the journal nothing that anyone reads has changed. From there on a crash is put right by `recover`: before the
commit everything that stood there comes back, after it everything new stays.
"""
