"""What a switch brings about: processes, units of systemd, actions, a reboot.

Effects run after the commit and are convergent. Each look compares what runs with what the current generations say, so a crash
between commit and effect is mended by the next look, and a second apply does nothing.
"""
