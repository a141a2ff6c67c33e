"""The steps that make the registry's tables, for Alembic."""
