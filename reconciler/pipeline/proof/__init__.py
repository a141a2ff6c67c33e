"""Proving what was decided: from git, notes, a store and public keys alone, on any machine, without asking whoever decided.

Each step says what it proved, what does not fit (what, where, expected, found) and what it could not look at. It stops at nothing: an
auditor wants all of it at once. Nothing is written, but for a scratch repository that goes away.
"""
