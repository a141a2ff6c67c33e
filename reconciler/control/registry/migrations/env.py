"""What Alembic runs: the steps, on the connection and in the transaction that `migrating.migrate` has."""

from alembic import context

from reconciler.control.registry.migrating import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
