"""Supervised processes for hosts without systemd: started, watched, healed, measured and stopped by the agent.

What runs outlives the agent: a process is started in a session of its own, writes its output straight to a file, and is
found again by (pid, start time, boot) in the record that was on disk before it began.
"""
