"""Units of systemd: what the host's manager holds, how that differs from a release, and what mends it.

Observed in one call, compared purely (`steps`), carried out one step at a time. What a running unit has read is noted
by digest (`noted`), so that a change restarts it once and a second look does nothing.
"""
