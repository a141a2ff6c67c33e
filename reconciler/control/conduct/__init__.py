"""Conducting rollouts: evidence and orders are read, the state machine decides, and what it decided is kept before it is published."""
