"""The tables of the registry, as the code of this version uses them; `migrations/` makes them and a test holds both together.

Every row that belongs to a tenant names it first, in its key. Nothing refers to anything by a foreign key: what is kept for long
(receipts, audit) outlives what it is about, and old rows go in slices.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Table, UniqueConstraint

from reconciler.control.registry.columns import Instant, Json, Name, Number, Words

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

marks = Table("marks", metadata, Column("name", Name, primary_key=True), Column("value", Name, nullable=False))
"""Small facts about the registry itself."""

agents = Table(
    "agents",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("agent", Name, primary_key=True),  # `web-01`, or `runners/7f3a` of a pool
    Column("subject", Name, nullable=False),  # what git calls it: its own name, or its pool's
    Column("incarnation", Integer, nullable=False),  # how many times it enrolled: its batches count from 1 again each time
    Column("state", Name, nullable=False),
    Column("reason", Words, nullable=False),
    Column("state_by", Words, nullable=False),
    Column("state_at", Instant, nullable=False),
    Column("leave", Name, nullable=False),  # of one that is decommissioned: `keep`, `remove`, or ""
    Column("enrolled_at", Instant, nullable=False),
    Column("enrolled_by", Words, nullable=False),  # `token:<id>`, `platform:<issuer>`, `taken-in`
    Column("lease_until", Instant),  # of a pool's member
    Column("presence", Name, nullable=False),
    Column("presence_at", Instant),
    Index(None, "tenant", "subject"),
    Index(None, "lease_until"),
)
heartbeats = Table(
    "heartbeats",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("agent", Name, primary_key=True),
    Column("last_seen", Instant, nullable=False),
    Column("version", Words, nullable=False),
    Column("incarnation", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),  # of the last batch that is kept
    postgresql_with={"fillfactor": 70},  # room beside each row: an update that moves no row touches no index
)
"""What changes at every report; apart from `agents`, whose rows hardly ever do."""
facts = Table(
    "facts",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("agent", Name, primary_key=True),
    Column("facts", Json, nullable=False),
    Column("problems", Json, nullable=False),
    Column("at", Instant, nullable=False),
)
subjects = Table(
    "subjects",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("subject", Name, primary_key=True),
    Column("kind", Name, nullable=False),  # `agent` or `pool`
)
"""What git knows of, copied from signed controls so that lists can be asked for by label and fleet."""
subject_labels = Table(
    "subject_labels",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("subject", Name, primary_key=True),
    Column("label", Name, primary_key=True),
    Column("value", Name, nullable=False),
    Index(None, "tenant", "label", "value", "subject"),
)
subject_fleets = Table(
    "subject_fleets",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("subject", Name, primary_key=True),
    Column("fleet", Name, primary_key=True),
    Index(None, "tenant", "fleet", "subject"),
)
certificates = Table(
    "certificates",
    metadata,
    Column("fingerprint", Name, primary_key=True),  # SHA-256 of the DER, hexadecimal
    Column("tenant", Name, nullable=False),
    Column("agent", Name, nullable=False),
    Column("serial", Name, nullable=False),
    Column("issuer", Name, nullable=False),  # the intermediate's key identifier, hexadecimal
    Column("key", Name, nullable=False),  # the public key (SubjectPublicKeyInfo, DER) in base64: receipts outlive connections
    Column("not_before", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("how", Name, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("revoked_why", Words, nullable=False),
    Index(None, "tenant", "agent"),
    Index(None, "revoked_at"),
    Index(None, "not_after"),
)
tokens = Table(
    "tokens",
    metadata,
    Column("id", Name, primary_key=True),
    Column("tenant", Name, nullable=False),
    Column("agent", Name, nullable=False),  # one of `agent` and `pool` is ""
    Column("pool", Name, nullable=False),
    Column("secret_hash", Name, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("reimage", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Words, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("revoked_at", Instant),
    Index(None, "tenant", "id"),
    Index(None, "expires_at"),
)
pending = Table(
    "pending",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("agent", Name, primary_key=True),
    Column("pool", Name, nullable=False),
    Column("why", Words, nullable=False),
    Column("how", Words, nullable=False),
    Column("address", Words, nullable=False),
    Column("facts", Json, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("count", Integer, nullable=False),
    Index(None, "last_at"),
)
statuses = Table(
    "statuses",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("fleet", Name, primary_key=True),
    Column("agent", Name, primary_key=True),
    Column("result", Name, nullable=False),
    Column("digest", Name, nullable=False),
    Column("desired", Name, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("serial", BigInteger, nullable=False),
    Column("drift", Integer, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("report", Json, nullable=False),  # the whole `FleetReport`
    Column("incarnation", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),  # of the batch that said so
    Column("changed_at", Instant, nullable=False),
    Index(None, "tenant", "agent"),
    Index(None, "tenant", "fleet", "result"),
)
receipts = Table(
    "receipts",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("tenant", Name, nullable=False),
    Column("agent", Name, nullable=False),
    Column("fleet", Name, nullable=False),
    Column("digest", Name, nullable=False),
    Column("group_name", Name, nullable=False),
    Column("mode", Name, nullable=False),  # "" for none
    Column("attempt", BigInteger, nullable=False),
    Column("serial", BigInteger, nullable=False),
    Column("result", Name, nullable=False),
    Column("at", Name, nullable=False),  # by the host's clock, RFC 3339
    Column("received_at", Instant, nullable=False),
    Column("sha256", Name, nullable=False),  # of the canonical `Receipt`: what it says, however it was signed
    Column("signed", Json, nullable=False),  # the whole `SignedReceipt`
    UniqueConstraint("tenant", "agent", "sha256"),
    Index(None, "tenant", "fleet", "digest", "attempt", "id"),
    Index(None, "tenant", "fleet", "id"),
    Index(None, "tenant", "received_at"),
    sqlite_autoincrement=True,
)
events = Table(
    "events",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("tenant", Name, nullable=False),
    Column("agent", Name, nullable=False),  # "" for one of the server's own
    Column("key", Name, nullable=False),  # what makes it the same event when it is told again
    Column("kind", Name, nullable=False),
    Column("fleet", Name, nullable=False),
    Column("digest", Name, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("path", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("at", Words, nullable=False),  # by the host's clock, RFC 3339
    Column("received_at", Instant, nullable=False),
    UniqueConstraint("tenant", "agent", "key"),
    Index(None, "tenant", "id"),
    Index(None, "tenant", "fleet", "id"),
    Index(None, "tenant", "received_at"),
    sqlite_autoincrement=True,
)
operators = Table(
    "operators",
    metadata,
    Column("subject", Name, primary_key=True),  # `operator:<name>` or `oidc:<issuer>#<subject>`
    Column("shown", Words, nullable=False),
    Column("groups", Json, nullable=False),  # `group:<issuer>#<group>`, as the last sign-in said
    Column("created_at", Instant, nullable=False),
    Column("created_by", Words, nullable=False),
    Column("disabled_at", Instant),
    Column("disabled_why", Words, nullable=False),
)
operator_tokens = Table(
    "operator_tokens",
    metadata,
    Column("id", Name, primary_key=True),
    Column("subject", Name, nullable=False),
    Column("kind", Name, nullable=False),  # `token`, or `session` of a sign-in
    Column("secret_hash", Name, nullable=False),
    Column("scope", Json, nullable=False),
    Column("shown", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Words, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("revoked_at", Instant),
    Index(None, "subject"),
    Index(None, "expires_at"),
)
audit_chains = Table(
    "audit_chains",
    metadata,
    Column("chain", Name, primary_key=True),  # a tenant, or "" for the installation
    Column("number", BigInteger, nullable=False),  # of the last entry
    Column("hash", Name, nullable=False),
    Column("floor", BigInteger, nullable=False),  # of the last entry that was pruned, 0 for none
    Column("floor_hash", Name, nullable=False),
)
audit = Table(
    "audit",
    metadata,
    Column("chain", Name, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("who", Words, nullable=False),
    Column("action", Name, nullable=False),
    Column("target", Words, nullable=False),
    Column("outcome", Name, nullable=False),
    Column("reason", Words, nullable=False),
    Column("detail", Json, nullable=False),
    Column("previous", Name, nullable=False),
    Column("hash", Name, nullable=False),
    Index(None, "at"),
)
leases = Table(
    "leases",
    metadata,
    Column("name", Name, primary_key=True),
    Column("holder", Words, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", Instant, nullable=False),
)
rollouts = Table(
    "rollouts",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("fleet", Name, primary_key=True),
    Column("phase", Name, nullable=False),
    Column("progress", Json, nullable=False),  # the whole `Progress`
    Column("holds", Json, nullable=False),  # what it waits for, as people are told: [{kind, why, until}]
    Column("epoch", BigInteger, nullable=False),  # of the lease under which it was written: a lower one is refused
    Column("changed_at", Instant, nullable=False),
)
"""How each fleet's rollout stands."""
orders = Table(
    "orders",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("tenant", Name, nullable=False),
    Column("fleet", Name, nullable=False),
    Column("order", Json, nullable=False),  # the whole `Order`, but its number
    Column("given_at", Instant, nullable=False),
    Column("followed_at", Instant),
    Index(None, "tenant", "fleet", "followed_at"),
    Index(None, "given_at"),
    sqlite_autoincrement=True,
)
"""What people ordered about rollouts, until it is followed and for some time after."""
stops = Table(
    "stops",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("tenant", Name, nullable=False),  # "" for all tenants
    Column("fleets", Json, nullable=False),  # [] for all of the tenant's
    Column("reason", Words, nullable=False),
    Column("who", Words, nullable=False),
    Column("begins_at", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("ended_at", Instant),
    Index(None, "until"),
    sqlite_autoincrement=True,
)
"""Freezes that people put on in a hurry; those of manifests stand in controls."""
