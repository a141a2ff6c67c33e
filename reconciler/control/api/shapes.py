"""What operators send and get, as JSON: the shapes of `/api/v1`, from which docs/openapi.json is made.

Instants are RFC 3339 in UTC, to the second, "" where there is none. Lists come in pages: `next` is passed as `after`, "" at the end.
A field is added, never taken away or given another meaning; clients pass over those that they don't know.
"""

from typing import Any, Literal

from agent.protocol.state import Struct

AgentState = Literal["enrolled", "quarantined", "revoked", "decommissioned"]


class Shape(Struct, omit_defaults=False):
    """Whatever operators get says each of its fields: those who read it with other tools should not have to know defaults."""


class Running(Shape):
    """What runs of a fleet on an agent, as it said last: `digest` is its release, "" for none yet, `mode` "" where none is on.

    `drift` counts paths that differ; `held` is true where somebody went back there by hand.
    """

    fleet: str
    digest: str
    result: str
    mode: str
    drift: int
    held: bool


class AgentRow(Shape):
    """An agent in a list; `agent` is `web-01`, or `runners/7f3a` of a pool. `last_seen`, `version` and `runs` are what it said last."""

    tenant: str
    agent: str
    state: AgentState
    presence: str
    fleets: list[str]
    labels: dict[str, str]
    last_seen: str
    version: str
    runs: list[Running]


class AgentPage(Shape):
    """A page of agents by tenant and name; one may hold fewer than were asked for, and `next` all the same."""

    agents: list[AgentRow]
    next: str = ""


class CertificateRow(Shape):
    """A certificate of an agent; `fingerprint` is the SHA-256 of its DER in hexadecimal."""

    fingerprint: str
    not_before: str
    not_after: str
    how: str
    revoked_at: str = ""
    revoked_why: str = ""


class FleetRow(Shape):
    """How a fleet stands on one agent, in its own words."""

    fleet: str
    result: str
    why: str
    digest: str
    commit: str
    desired: str
    attempt: int
    mode: str
    drift: int
    held: bool
    changed_at: str


class AgentShown(Shape):
    """All that is known of an agent; `leave` says what a decommissioned one does with what it manages, `facts` are its own words."""

    tenant: str
    agent: str
    state: AgentState
    reason: str
    state_by: str
    state_at: str
    leave: str
    presence: str
    fleets: list[str]
    labels: dict[str, str]
    enrolled_at: str
    enrolled_by: str
    lease_until: str
    last_seen: str
    version: str
    incarnation: int
    known_to_git: bool
    certificates: list[CertificateRow]
    standing: list[FleetRow]
    facts: dict[str, Any]


class ReceiptRow(Shape):
    """What a host said became of a release; `at` is its own clock, `received_at` the server's. `mode` is "" where none was on.

    `signature` is by the key of `certificate` (SHA-256 of its DER, hexadecimal) over the receipt as docs/protocol.md has it.
    """

    fleet: str
    result: str
    why: str
    digest: str
    members: int
    group: str
    mode: str
    attempt: int
    serial: int
    generation: int
    at: str
    received_at: str
    certificate: str
    signature: str


class ReceiptPage(Shape):
    """A page of a host's receipts, the newest first; one may hold fewer than were asked for, and `next` all the same."""

    receipts: list[ReceiptRow]
    next: str = ""


class Reason(Shape):
    """Why something is done: at least a word, for those who read the audit."""

    reason: str


class Decommission(Shape):
    """Taking a host out for good; `leave` is whether it keeps or removes what it manages."""

    reason: str
    leave: Literal["keep", "remove"]


class PendingRow(Shape):
    """A host that asked to join and that git does not know; `facts` and `address` are not proven."""

    tenant: str
    agent: str
    pool: str
    why: str
    how: str
    address: str
    facts: dict[str, Any]
    first_at: str
    last_at: str
    count: int


class PendingPage(Shape):
    """A page of hosts that wait, of one tenant, by name."""

    pending: list[PendingRow]
    next: str = ""


class NewToken(Shape):
    """What an enrolment token shall be for: one of `agent` and `pool`, `ttl` in seconds; `reimage` lets an enrolled name join again."""

    ttl: int
    agent: str = ""
    pool: str = ""
    uses: int = 1
    reimage: bool = False


class TokenMade(Shape):
    """A new token's text, which is shown this once. A host that is not `known_to_git` is refused, and listed as pending."""

    token: str
    id: str
    expires: str
    known_to_git: bool


class TokenRow(Shape):
    """An enrolment token, without its secret."""

    id: str
    tenant: str
    agent: str
    pool: str
    uses: int
    uses_left: int
    reimage: bool
    created_at: str
    created_by: str
    expires: str
    used_at: str
    revoked_at: str


class TokenPage(Shape):
    """A page of a tenant's tokens by id."""

    tokens: list[TokenRow]
    next: str = ""


class NewOperator(Shape):
    """An operator who has no account at an identity provider: a person without one, or a program. `shown` is for people."""

    name: str
    shown: str = ""


class OperatorRow(Shape):
    """An operator: `subject` is `operator:<name>` or `oidc:<issuer>#<subject>`, `groups` what the last sign-in said."""

    subject: str
    shown: str
    groups: list[str]
    created_at: str
    created_by: str
    disabled_at: str
    disabled_why: str


class OperatorTokenMade(Shape):
    """A new operator's token, which is shown this once."""

    token: str
    id: str
    expires: str


class OperatorPage(Shape):
    """A page of operators by subject."""

    operators: list[OperatorRow]
    next: str = ""


class RemoveOperator(Shape):
    """Whom to remove, and why."""

    subject: str
    reason: str


class Scope(Shape):
    """What a token may be used for: actions (`agents.read`, `agents.*`) and tenants; empty is all that its owner may do."""

    actions: list[str] = []
    tenants: list[str] = []


class NewOperatorToken(Shape):
    """A token for an operator, for `ttl` seconds; `shown` says what it is for."""

    subject: str
    ttl: int
    shown: str = ""
    scope: Scope = Scope()


class OperatorTokenRow(Shape):
    """A token of an operator (`token`), or a sign-in (`session`), without its secret."""

    id: str
    subject: str
    kind: str
    scope: Scope
    shown: str
    created_at: str
    created_by: str
    expires: str
    used_at: str
    revoked_at: str


class OperatorTokenPage(Shape):
    """A page of operators' tokens by id."""

    tokens: list[OperatorTokenRow]
    next: str = ""


class SignIn(Shape):
    """Where operators sign in: the issuer of identities and this installation's client id there; all "" where there is none."""

    issuer: str
    client_id: str
    scope: str


class IdToken(Shape):
    """An id token of that issuer, for a session."""

    id_token: str


class Session(Shape):
    """Who signed in, and the bearer token for what they ask from now on, until it expires."""

    token: str
    subject: str
    shown: str
    expires: str


class RoleHeld(Shape):
    """A role in a tenant, for these fleets; for all where there are none."""

    tenant: str
    role: str
    fleets: list[str]


class WhoAmI(Shape):
    """Who asks, and what gives them rights; `expires` is "" for the local token, `admin` is for those who run the installation."""

    subject: str
    groups: list[str]
    kind: str
    expires: str
    admin: bool
    scope: Scope
    roles: list[RoleHeld]


class AuditRow(Shape):
    """One entry of the audit: its number in the chain, what was asked of what, how it ended (`done`, `refused`), and the hash.

    `hash` is over the entry and `previous`, the hash of the one before.
    """

    chain: str
    number: int
    at: str
    who: str
    action: str
    target: str
    outcome: str
    reason: str
    detail: dict[str, Any]
    previous: str
    hash: str


class AuditPage(Shape):
    """A page of a chain by number: a tenant's, or "" for the installation's."""

    entries: list[AuditRow]
    next: str = ""


class AuditVerified(Shape):
    """Whether a chain holds: each entry's hash covers the one before; `why` says where it breaks."""

    chain: str
    entries: int
    holds: bool
    why: str = ""
    last: str = ""


class FleetStatus(Shape):
    """How a fleet stands: what is published, and how its agents say that they are."""

    tenant: str
    fleet: str
    state: str
    why: str
    digest: str
    commit: str
    serial: int
    published_at: str
    agents: dict[str, int]


class FleetList(Shape):
    """All fleets that may be seen."""

    fleets: list[FleetStatus]


class CarriedReports(Shape):
    """Reports that were carried here by hand: each a `SignedBatch` of the agents' protocol, as text; `reason` stands in the audit."""

    batches: list[str]
    reason: str


class CarriedDone(Shape):
    """What became of them: how many are kept (now, or before), and why each of the others never will be."""

    kept: int
    dropped: list[str]


class Done(Shape):
    """What was changed: its name and its state now."""

    target: str
    state: str


class HookRow(Shape):
    """A webhook that an operator made; its secret is never shown again."""

    id: str
    forge: str
    created_at: str
    created_by: str
    rotated_at: str


class HookList(Shape):
    """All webhooks that operators made."""

    hooks: list[HookRow]


class NewHook(Shape):
    """A webhook for a forge: `github`, `gitlab`, `gitea`, `generic`."""

    forge: str
    reason: str


class HookMade(Shape):
    """A webhook with its secret, which is shown this once, and the path that the forge is told."""

    id: str
    forge: str
    path: str
    secret: str
