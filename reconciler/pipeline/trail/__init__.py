"""The trail that decisions leave, read back: signed records where the store is at hand, git notes where only a clone is.

Records are verified before they are read. Notes are signed by nobody: what they say is told as such.
"""
