"""Hearing of fleets: which there are, what each one's verified documents say, and what they ask of this host."""
