"""Servers that stand in for forges: they speak the documented API over real HTTP, and hold both sides to its description."""
