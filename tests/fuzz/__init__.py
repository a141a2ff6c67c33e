"""Fuzzing of everything that reads what strangers wrote: the same targets in the gate (hypothesis) and in `make fuzz` (atheris)."""
