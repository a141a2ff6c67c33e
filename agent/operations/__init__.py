"""What people do to an agent by hand: look ahead, go back, examine a host, leave it. What costs memory is imported by its command alone."""
