"""Replaying rules over the history of the followed branch: which merged commits would have been refused, and on which line.

History is taken as it happened: what a rule would have refused stays in what the next commit is compared with, and a verdict that
the version before had too is standing and not counted again. So each finding is counted once, on the commit that brought it.
Nothing is checked out: blobs are read by their ids, and only where trees differ.
"""
