"""Waiting agents: held until something of theirs is newer, then answered from bytes that are encoded once for all."""
