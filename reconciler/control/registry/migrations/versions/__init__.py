"""One module for each step, `v<number>_<what>`; once released, none is edited: another one is added."""
