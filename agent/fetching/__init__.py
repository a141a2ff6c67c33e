"""What comes off the wire: bounded in bytes and time, held to its tenant and fleet, resumed, and kept by digest."""
