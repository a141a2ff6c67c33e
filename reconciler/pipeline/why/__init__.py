"""Why something is on a host: from a line of a rendered file back to the manifest lines that made it, and to who wrote those.

`landing` finds what a fleet puts at a path, `rendered` follows a line back into the text that it was filled in from, `values` says who gave
a parameter or a label its value, `blame` who wrote the line that says so. Nothing here asks a server: the compiler runs again.
"""
