"""The first tables; SQL as both databases have it, but for names (compared byte by byte) and numbers that the database counts."""

from alembic import op

revision = "0001"
down_revision = None
OLDEST = "0001"
_TYPES = {
    "sqlite": {"name": "TEXT", "counted": "INTEGER NOT NULL", "counts": " AUTOINCREMENT", "roomy": ""},
    "postgresql": {"name": 'TEXT COLLATE "C"', "counted": "BIGSERIAL NOT NULL", "counts": "", "roomy": " WITH (fillfactor=70)"},
}
"""`counts` goes with the key that is counted; `roomy` tables have room beside each row, so that an update touches no index."""

_HOSTS = """
CREATE TABLE agents (
    tenant {name} NOT NULL, agent {name} NOT NULL, subject {name} NOT NULL, incarnation INTEGER NOT NULL, state {name} NOT
    NULL, reason TEXT NOT NULL, state_by TEXT NOT NULL, state_at BIGINT NOT NULL, leave {name} NOT NULL, enrolled_at
    BIGINT NOT NULL, enrolled_by TEXT NOT NULL, lease_until BIGINT, presence {name} NOT NULL, presence_at BIGINT,
    CONSTRAINT pk_agents PRIMARY KEY (tenant, agent)
);
CREATE INDEX ix_agents_lease_until ON agents (lease_until);
CREATE INDEX ix_agents_tenant_subject ON agents (tenant, subject);
CREATE TABLE heartbeats (
    tenant {name} NOT NULL, agent {name} NOT NULL, last_seen BIGINT NOT NULL, version TEXT NOT NULL, incarnation INTEGER
    NOT NULL, sequence BIGINT NOT NULL,
    CONSTRAINT pk_heartbeats PRIMARY KEY (tenant, agent)
){roomy};
CREATE TABLE facts (
    tenant {name} NOT NULL, agent {name} NOT NULL, facts TEXT NOT NULL, problems TEXT NOT NULL, at BIGINT NOT NULL,
    CONSTRAINT pk_facts PRIMARY KEY (tenant, agent)
);
CREATE TABLE subjects (
    tenant {name} NOT NULL, subject {name} NOT NULL, kind {name} NOT NULL,
    CONSTRAINT pk_subjects PRIMARY KEY (tenant, subject)
);
CREATE TABLE subject_labels (
    tenant {name} NOT NULL, subject {name} NOT NULL, label {name} NOT NULL, value {name} NOT NULL,
    CONSTRAINT pk_subject_labels PRIMARY KEY (tenant, subject, label)
);
CREATE INDEX ix_subject_labels_tenant_label_value_subject ON subject_labels (tenant, label, value, subject);
CREATE TABLE subject_fleets (
    tenant {name} NOT NULL, subject {name} NOT NULL, fleet {name} NOT NULL,
    CONSTRAINT pk_subject_fleets PRIMARY KEY (tenant, subject, fleet)
);
CREATE INDEX ix_subject_fleets_tenant_fleet_subject ON subject_fleets (tenant, fleet, subject);
CREATE TABLE certificates (
    fingerprint {name} NOT NULL, tenant {name} NOT NULL, agent {name} NOT NULL, serial {name} NOT NULL, issuer {name} NOT
    NULL, key {name} NOT NULL, not_before BIGINT NOT NULL, not_after BIGINT NOT NULL, how {name} NOT NULL, recorded_at
    BIGINT NOT NULL, revoked_at BIGINT, revoked_why TEXT NOT NULL,
    CONSTRAINT pk_certificates PRIMARY KEY (fingerprint)
);
CREATE INDEX ix_certificates_not_after ON certificates (not_after);
CREATE INDEX ix_certificates_revoked_at ON certificates (revoked_at);
CREATE INDEX ix_certificates_tenant_agent ON certificates (tenant, agent);
CREATE TABLE tokens (
    id {name} NOT NULL, tenant {name} NOT NULL, agent {name} NOT NULL, pool {name} NOT NULL, secret_hash {name} NOT NULL,
    uses INTEGER NOT NULL, uses_left INTEGER NOT NULL, reimage BOOLEAN NOT NULL, created_at BIGINT NOT NULL, created_by
    TEXT NOT NULL, expires_at BIGINT NOT NULL, used_at BIGINT, revoked_at BIGINT,
    CONSTRAINT pk_tokens PRIMARY KEY (id)
);
CREATE INDEX ix_tokens_expires_at ON tokens (expires_at);
CREATE INDEX ix_tokens_tenant_id ON tokens (tenant, id);
CREATE TABLE pending (
    tenant {name} NOT NULL, agent {name} NOT NULL, pool {name} NOT NULL, why TEXT NOT NULL, how TEXT NOT NULL, address
    TEXT NOT NULL, facts TEXT NOT NULL, first_at BIGINT NOT NULL, last_at BIGINT NOT NULL, count INTEGER NOT NULL,
    CONSTRAINT pk_pending PRIMARY KEY (tenant, agent)
);
CREATE INDEX ix_pending_last_at ON pending (last_at);
"""
"""Agents, what git knows of them, and how they prove who they are."""

_REPORTS = """
CREATE TABLE statuses (
    tenant {name} NOT NULL, fleet {name} NOT NULL, agent {name} NOT NULL, result {name} NOT NULL, digest {name} NOT NULL,
    desired {name} NOT NULL, attempt BIGINT NOT NULL, serial BIGINT NOT NULL, drift INTEGER NOT NULL, held BOOLEAN NOT
    NULL, report TEXT NOT NULL, incarnation INTEGER NOT NULL, sequence BIGINT NOT NULL, changed_at BIGINT NOT NULL,
    CONSTRAINT pk_statuses PRIMARY KEY (tenant, fleet, agent)
);
CREATE INDEX ix_statuses_tenant_agent ON statuses (tenant, agent);
CREATE INDEX ix_statuses_tenant_fleet_result ON statuses (tenant, fleet, result);
CREATE TABLE receipts (
    id {counted}, tenant {name} NOT NULL, agent {name} NOT NULL, fleet {name} NOT NULL, digest {name} NOT NULL, group_name
    {name} NOT NULL, mode {name} NOT NULL, attempt BIGINT NOT NULL, serial BIGINT NOT NULL, result {name} NOT NULL, at
    {name} NOT NULL, received_at BIGINT NOT NULL, sha256 {name} NOT NULL, signed TEXT NOT NULL,
    CONSTRAINT pk_receipts PRIMARY KEY (id{counts}), CONSTRAINT uq_receipts_tenant_agent_sha256 UNIQUE (tenant, agent, sha256)
);
CREATE INDEX ix_receipts_tenant_fleet_digest_attempt_id ON receipts (tenant, fleet, digest, attempt, id);
CREATE INDEX ix_receipts_tenant_fleet_id ON receipts (tenant, fleet, id);
CREATE INDEX ix_receipts_tenant_received_at ON receipts (tenant, received_at);
CREATE TABLE events (
    id {counted}, tenant {name} NOT NULL, agent {name} NOT NULL, key {name} NOT NULL, kind {name} NOT NULL, fleet {name}
    NOT NULL, digest {name} NOT NULL, attempt BIGINT NOT NULL, path TEXT NOT NULL, text TEXT NOT NULL, at TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    CONSTRAINT pk_events PRIMARY KEY (id{counts}), CONSTRAINT uq_events_tenant_agent_key UNIQUE (tenant, agent, key)
);
CREATE INDEX ix_events_tenant_fleet_id ON events (tenant, fleet, id);
CREATE INDEX ix_events_tenant_id ON events (tenant, id);
CREATE INDEX ix_events_tenant_received_at ON events (tenant, received_at);
"""
"""What agents report."""

_ROLLOUTS = """
CREATE TABLE rollouts (
    tenant {name} NOT NULL, fleet {name} NOT NULL, phase {name} NOT NULL, progress TEXT NOT NULL, holds TEXT NOT NULL,
    epoch BIGINT NOT NULL, changed_at BIGINT NOT NULL,
    CONSTRAINT pk_rollouts PRIMARY KEY (tenant, fleet)
);
CREATE TABLE orders (
    id {counted}, tenant {name} NOT NULL, fleet {name} NOT NULL, "order" TEXT NOT NULL, given_at BIGINT NOT NULL,
    followed_at BIGINT,
    CONSTRAINT pk_orders PRIMARY KEY (id{counts})
);
CREATE INDEX ix_orders_given_at ON orders (given_at);
CREATE INDEX ix_orders_tenant_fleet_followed_at ON orders (tenant, fleet, followed_at);
CREATE TABLE stops (
    id {counted}, tenant {name} NOT NULL, fleets TEXT NOT NULL, reason TEXT NOT NULL, who TEXT NOT NULL, begins_at BIGINT
    NOT NULL, until BIGINT NOT NULL, ended_at BIGINT,
    CONSTRAINT pk_stops PRIMARY KEY (id{counts})
);
CREATE INDEX ix_stops_until ON stops (until);
"""
"""How rollouts stand, and what people ordered about them."""

_PEOPLE = """
CREATE TABLE operators (
    subject {name} NOT NULL, shown TEXT NOT NULL, groups TEXT NOT NULL, created_at BIGINT NOT NULL, created_by TEXT NOT
    NULL, disabled_at BIGINT, disabled_why TEXT NOT NULL,
    CONSTRAINT pk_operators PRIMARY KEY (subject)
);
CREATE TABLE operator_tokens (
    id {name} NOT NULL, subject {name} NOT NULL, kind {name} NOT NULL, secret_hash {name} NOT NULL, scope TEXT NOT NULL,
    shown TEXT NOT NULL, created_at BIGINT NOT NULL, created_by TEXT NOT NULL, expires_at BIGINT NOT NULL, used_at BIGINT,
    revoked_at BIGINT,
    CONSTRAINT pk_operator_tokens PRIMARY KEY (id)
);
CREATE INDEX ix_operator_tokens_expires_at ON operator_tokens (expires_at);
CREATE INDEX ix_operator_tokens_subject ON operator_tokens (subject);
CREATE TABLE audit_chains (
    chain {name} NOT NULL, number BIGINT NOT NULL, hash {name} NOT NULL, floor BIGINT NOT NULL, floor_hash {name} NOT NULL,
    CONSTRAINT pk_audit_chains PRIMARY KEY (chain)
);
CREATE TABLE audit (
    chain {name} NOT NULL, number BIGINT NOT NULL, at BIGINT NOT NULL, who TEXT NOT NULL, action {name} NOT NULL, target
    TEXT NOT NULL, outcome {name} NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, previous {name} NOT NULL, hash
    {name} NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (chain, number)
);
CREATE INDEX ix_audit_at ON audit (at);
CREATE TABLE leases (
    name {name} NOT NULL, holder TEXT NOT NULL, epoch BIGINT NOT NULL, expires_at BIGINT NOT NULL,
    CONSTRAINT pk_leases PRIMARY KEY (name)
);
CREATE TABLE marks (
    name {name} NOT NULL, value {name} NOT NULL,
    CONSTRAINT pk_marks PRIMARY KEY (name)
);
"""
"""Operators, what was done by whom, and who does what only one may do."""


def upgrade() -> None:
    """Make all tables."""
    types = _TYPES[op.get_bind().dialect.name]
    for statement in (_HOSTS + _REPORTS + _ROLLOUTS + _PEOPLE).format(**types).split(";"):
        if statement.strip():
            op.execute(statement)
