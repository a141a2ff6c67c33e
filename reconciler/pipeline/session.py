"""What one reconciler holds between rounds, and the outside parts that it works with.

Everything in it can be had again from the store and from git: `resume` does so at every start.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from agent.protocol.errors import OrdainError, RefusedError
from reconciler.opa.server import MEMORY_LIMIT
from reconciler.pipeline import accepted
from reconciler.pipeline.acceptance import EMPTY_CORPUS, Corpus, Released, appoint
from reconciler.pipeline.acceptance.corpus import load
from reconciler.pipeline.compile.compiler import Compiled, CompileRefused, compile_fleet
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.manifests import REPOSITORY_FILE, Document
from reconciler.pipeline.notes import NoteExporter
from reconciler.pipeline.operated import OperationsExporter
from reconciler.pipeline.policy.evaluate import Policies
from reconciler.pipeline.signatures.verifier import Verifier
from reconciler.pipeline.signing import repository_signing
from reconciler.pipeline.source import CommitTree, Mirror
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the pipeline is wired to: git, OPA, the store, keys, the clock.

    `make_keys` is called with tenants that have no keys yet: `ordain up` makes development keys there, a real
    installation leaves it to the key ceremony.
    """

    state: Path
    store: Store
    ring: KeyRing
    mirror: Mirror
    opa: Path
    batch_seconds: float = 2.0
    opa_memory: int = MEMORY_LIMIT
    notes: NoteExporter | None = None
    operations: OperationsExporter | None = None
    pinned: tuple[Document, ...] = ()
    """Signers that the settings name: they judge beside those in git, and from the first commit on."""
    verifier: Verifier = field(default_factory=Verifier)
    make_keys: Callable[[Collection[str]], None] = lambda tenants: None  # noqa: ARG005
    now: Callable[[], datetime] = lambda: datetime.now(tz=UTC).replace(microsecond=0)

    @property
    def judges(self) -> Path:
        """Where compiled judges are cached."""
        return self.state / "cache" / "judges"


@dataclass(slots=True, kw_only=True)
class Session:
    """The accepted state in memory: what the next decision starts from."""

    stored: accepted.Stored | None = None
    corpus: Corpus = EMPTY_CORPUS
    policies: Policies | None = None
    released: Released = field(default_factory=Released)
    bundle_format: int = 1
    problem: str = ""
    retry_at: datetime | None = None
    """When the same head is judged again: something could not be judged, or ordain was upgraded and judges otherwise."""
    retries: int = 0
    waiting: set[str] = field(default_factory=set)
    """Tenants that have no keys here."""
    signed_by: dict[str, str] = field(default_factory=dict)
    """Tenant → id of the key that its releases were last all signed with."""

    @property
    def state(self) -> accepted.AcceptedState | None:
        """The accepted state as stored, None before the first."""
        return self.stored.state if self.stored else None

    def close(self) -> None:
        """Stop OPA."""
        if self.policies is not None:
            self.policies.__exit__(None, None, None)
            self.policies = None


def resume(parts: Parts) -> Session:
    """Return a session that goes on from the accepted state in the store, or from nothing.

    Raises:
        RefusedError: the accepted state isn't signed by our key, is older than one seen here, or its own judge doesn't compile here.
        RetryError: objects are missing from the store, or OPA can't be run.
    """
    signing = repository_signing(parts.ring)
    stored = accepted.read(parts.store, *signing.known)
    accepted.require_seen(parts.state, stored)
    if stored is None:
        return Session()
    stored = accepted.sign_again(parts.store, signing.signer, stored, now=parts.now())
    accepted.remember(parts.state, stored.state.sequence)
    repository = parts.mirror.repository
    accepted.restore(parts.store, repository, stored.state)
    tree = CommitTree(repository, stored.state.tree)
    corpus = load(tree)
    if REPOSITORY_FILE not in tree.entries:  # all that ever came was refused, so the next head is judged as a first one
        return Session(stored=stored, corpus=corpus)
    appointment = appoint(tree, opa=parts.opa, cache=parts.judges)
    if appointment.judge is None:
        why = "; ".join(finding.message for finding in appointment.findings)
        message = f"the accepted judge can't be used here: {why}; run the version of ordain and OPA that accepted it, or restore the store"
        raise RefusedError(message)
    policies = start(Policies(appointment.judge, opa=parts.opa, seconds=parts.batch_seconds, memory=parts.opa_memory))
    session = Session(stored=stored, corpus=corpus, policies=policies, bundle_format=appointment.bundle_format)
    session.released = _released(session)
    if stored.state.unjudged or stored.state.judge != appointment.judge.digest:
        session.retry_at = parts.now()
    _log.info(
        "resumed", extra={"head": stored.state.head[:12], "decision": stored.state.decision, "fleets": len(session.released.compiled)}
    )
    return session


def start(policies: Policies) -> Policies:
    """Start the OPA of a judge; it ends with the session, not with a block."""
    return policies.__enter__()


def _released(session: Session) -> Released:
    standing = session.state.fleets if session.state else {}
    frozen = {key: standing["/".join(key)].why for key in session.corpus.world.fleets() if "/".join(key) in standing}
    compiled = dict(one for key in session.corpus.world.fleets() if key not in frozen for one in _compile(session, key))
    return Released(compiled=compiled, frozen=frozen)


def _compile(session: Session, key: FleetKey) -> Iterable[tuple[FleetKey, Compiled]]:
    """Yield the fleet as it was released; one that this version can't compile is left as it stands in the store."""
    try:
        yield key, compile_fleet(session.corpus.world, session.corpus.tree, key, format=session.bundle_format)
    except CompileRefused as refusal:
        _log.warning("%s", explain(refusal))


def has_keys(parts: Parts, tenant: str) -> bool:
    """Return whether a tenant's releases can be signed here."""
    return parts.ring.has(f"{tenant}/releases")


def explain(error: OrdainError) -> str:
    """Return an error in one line, for logs and status."""
    return " ".join(str(error).split())
