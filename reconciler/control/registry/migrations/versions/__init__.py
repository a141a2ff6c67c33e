"""One module for each step, `v<number>_<what>`; once released, none is edited: another one is added.

What `schema` has and the steps don't make, or the other way round, is found by tests/integration/test_registry_migrations.py.
"""
