"""Packages of the host's own package manager, and the repositories that they come from.

`compare` decides purely, `manager` says what a package manager must offer, `apt` and `dnf` offer it, `install` makes fixes of
both. Nothing that a release did not ask for is ever removed: each change is tried first, and refused where it would.
"""
