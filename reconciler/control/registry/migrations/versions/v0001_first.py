"""The first tables."""

from alembic import op

from reconciler.control.registry import schema

revision = "0001"
down_revision = None
OLDEST = "0001"


def upgrade() -> None:
    """Make all tables."""
    schema.metadata.create_all(op.get_bind(), checkfirst=False)
