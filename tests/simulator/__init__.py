"""Fleets that are simulated: rollouts replayed in memory, and agents by the hundred that speak the real protocol."""
