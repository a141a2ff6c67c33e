"""Where parts are made from settings and put together, by keyword, once."""

import socket
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path

from agent.protocol import durable
from agent.protocol.errors import InputError
from reconciler.control import loop as control_loop
from reconciler.control.api.hooks import Hooks
from reconciler.control.authority.ceremony import DOMAIN, development_authority
from reconciler.control.authority.rotation import held_for
from reconciler.control.conduct.conductor import Conductor
from reconciler.control.conduct.gates import Gatekeeper
from reconciler.control.conduct.prometheus import Prometheus
from reconciler.control.housekeeping import Housekeeping
from reconciler.control.known import KnownTenants
from reconciler.control.leading import RegistryLeases, rollouts_told, tell_published
from reconciler.control.registry.registry import Registry
from reconciler.control.registry.retention import Keep
from reconciler.control.tenants import discover
from reconciler.opa.program import find_opa
from reconciler.pipeline import loop as pipeline_loop
from reconciler.pipeline.notes import NoteExporter
from reconciler.pipeline.operated import OperationsExporter
from reconciler.pipeline.session import Parts
from reconciler.pipeline.signatures.pinned import read_pinned
from reconciler.pipeline.source import Credentials, Mirror, SourceLimits, SshAccess, mirror_path
from reconciler.publication import layout
from reconciler.publication.ceremony import development_keys, unfinished
from reconciler.publication.key_making import make_keys
from reconciler.publication.secret_files import SecretFile
from reconciler.publication.store import CONTROL_PREFIXES, PIPELINE_PREFIXES, Scoped, Store
from reconciler.publication.store.probe import require_conditional
from reconciler.settings import PolicySettings, Settings, SourceSettings

_MAKING = threading.Lock()
"""Both loops of `ordain up` make keys, in one directory."""


def holder(settings: Settings, zone: str) -> str:
    """Return who holds a zone's lease: the same over restarts on one state directory, another for each machine."""
    return f"{zone}@{socket.gethostname()}:{settings.state.resolve()}"


def zone_store(settings: Settings, prefixes: tuple[str, ...]) -> Scoped:
    """Return the store as one zone sees it, tried first under the prefixes that the zone writes; raises as `require_conditional`."""
    store = settings.open_store()
    for prefix in prefixes:
        require_conditional(store, prefix)
    return Scoped(inner=store, write=prefixes)


def mirror(settings: Settings) -> Mirror:
    """Return the mirror of the fleet repository that the settings name; raise `InputError` if they name none that can be fetched."""
    source = settings.source
    durable.make_directory(settings.state, mode=0o700)
    return Mirror(
        mirror_path(settings.state),
        source.repository,
        source.branch or None,
        limits=SourceLimits(seconds=source.fetch_timeout, bytes=source.fetch_limit),
        credentials=Credentials.parse(source.credentials) if source.credentials else None,
        ssh=_ssh(source),
    )


def _ssh(source: SourceSettings) -> SshAccess | None:
    if not (source.ssh_key and source.ssh_known_hosts):
        return None
    for name in ("ssh_key", "ssh_known_hosts"):
        try:
            Path(getattr(source, name)).open("rb").close()
        except OSError as error:
            message = f"[source] {name}: {getattr(source, name)}: {error.strerror}; name a file that this process may read"
            raise InputError(message) from error
    return SshAccess(key=Path(source.ssh_key), known_hosts=Path(source.ssh_known_hosts))


def pipeline(
    settings: Settings, progress: pipeline_loop.Progress, *, make_keys: Callable[[Collection[str]], None] | None = None
) -> Callable[[threading.Event], None]:
    """Return the pipeline's loop, wired; `make_keys` is where `ordain up` makes development keys."""
    git, ring = mirror(settings), settings.ring("pipeline")
    ring.secrets.require_readable()
    parts = Parts(
        state=settings.state,
        store=zone_store(settings, PIPELINE_PREFIXES),
        ring=ring,
        mirror=git,
        opa=opa(settings.policy),
        batch_seconds=settings.policy.batch_timeout,
        opa_memory=settings.policy.opa_memory,
        pinned=read_pinned(settings.signatures.signers),
        notes=NoteExporter(git, settings.state) if settings.source.notes else None,
        operations=OperationsExporter(mirror=git, store=settings.open_store(), state=settings.state) if settings.source.notes else None,
        make_keys=make_keys or (lambda tenants: None),  # noqa: ARG005 - a real installation leaves keys to the ceremony
    )
    waits = pipeline_loop.LoopSettings(holder=holder(settings, "pipeline"), poll=settings.source.poll)
    return lambda stop: pipeline_loop.run(parts, waits, stop, progress)


def opa(policy: PolicySettings) -> Path:
    """Return the OPA that the settings name, or the pinned one, built or downloaded where there is none; raises `RetryError`."""
    return find_opa(Path(policy.opa) if policy.opa else None, url=policy.opa_url, sha256=policy.opa_sha256)


@contextmanager
def opened_registry(settings: Settings) -> Iterator[Registry]:
    """Give the registry, brought to this version; raises as `Registry.open` and `Registry.migrate`."""
    registry = Registry.open(settings.registry_url)
    try:
        registry.migrate()
        yield registry
    finally:
        registry.close()


@contextmanager
def gatekeeper(settings: Settings) -> Iterator[Gatekeeper]:
    """Give what reads the gates of rollouts; raises `InputError` for an address of Prometheus, or a token, that can't be."""
    asked, prometheus = settings.metrics, None
    if asked.prometheus:
        token = SecretFile(name=asked.token, purpose="the token for [metrics] prometheus") if asked.token else None
        if token is not None:
            token.read()
        prometheus = Prometheus(asked.prometheus, token=token, authority=asked.authority)
    try:
        yield Gatekeeper(prometheus, held=partial(held_for, settings.open_store()))
    finally:
        if prometheus is not None:
            prometheus.close()


def control(
    settings: Settings, *, ready: Callable[[], None], registry: Registry | None = None, gates: Gatekeeper | None = None
) -> Callable[[threading.Event], None]:
    """Return the control zone's loop, wired; `ready` is called after its first whole pass, or once another copy publishes.

    Rollouts are conducted by what the `registry` knows and `gates` read; without one the newest release is stable at once. What is
    published is told to all who listen to it. Copies that share one agree there who publishes; one on SQLite is a
    single machine's, so that the store has the lease.

    Raises `InputError` where there are keys and none of them can be used, or what unlocks them can't be read: a zone that can sign
    nothing should not look as if it ran.
    """
    ring = settings.ring("control")
    ring.secrets.require_readable()
    ring.require_unlocked()
    store = zone_store(settings, CONTROL_PREFIXES)
    wired = control_loop.ControlSettings(
        store=store,
        keys=ring,
        holder=holder(settings, "control"),
        leases=RegistryLeases(registry=registry, holder=holder(settings, "control")) if registry and not registry.sqlite else None,
        conductor=Conductor(registry, store, gatekeeper=gates) if registry else None,
        news=partial(rollouts_told, registry) if registry else nullcontext,
        published=partial(tell_published, registry) if registry else lambda tenant, fleet: None,  # noqa: ARG005 - nobody waits
    )
    return lambda stop: control_loop.run(wired, stop, ready=ready)


def housekeeping(settings: Settings, registry: Registry, known: KnownTenants) -> Housekeeping:
    """Return what forgets what is old."""
    days = settings.retention
    keep = Keep(receipts=timedelta(days=days.receipts), events=timedelta(days=days.events), audit=timedelta(days=days.audit))
    return Housekeeping(registry, known, keep=keep, holder=holder(settings, "control"))


def hooks(settings: Settings, registry: Registry | None = None) -> Hooks:
    """Return what takes webhooks; raise `InputError` for a secret that can't be read: a hook that is never heard would go unseen."""
    secrets = settings.hooks.secrets()
    for secret in secrets.values():
        secret.read()
    store = Scoped(inner=settings.open_store(), write=CONTROL_PREFIXES)
    return Hooks(store, secrets, branch=settings.hooks.branch, registry=registry)


def development(settings: Settings) -> Callable[[Collection[str]], None]:
    """Return what makes development keys for tenants, and leaves their root metadata where agents' owners find it.

    The pipeline's own key is made at once: it signs the first decision, before any tenant is known.
    """
    store = settings.open_store()
    store.sweep("trust/")
    for directory in (settings.keys_directory, settings.state / "trust"):
        durable.sweep(directory)
    make_keys("pipeline", settings.keys_directory / "pipeline")
    development_certificates(settings)

    def make(tenants: Collection[str]) -> None:
        for tenant in tenants:
            with _MAKING:
                development_keys(settings.keys_directory, store, tenant)
            hand_out_root(settings.state, store, tenant)

    make(unfinished(settings.keys_directory, store))
    for tenant in discover(store):
        hand_out_root(settings.state, store, tenant)  # a restored store has tenants that need no new keys
    return make


def development_certificates(settings: Settings, *tenants: str, domain: str = "") -> None:
    """Make a certificate authority for development, or what it lacks for these tenants."""
    with _MAKING:
        development_authority(settings.keys_directory, settings.open_store(), tenants, domain=domain or DOMAIN)


def hand_out_root(state: Path, store: Store, tenant: str) -> None:
    """Copy a tenant's first root metadata, which leads to all later ones, to `<state>/trust/<tenant>.root.json`."""
    root = store.get(layout.trust(tenant, "1.root.json"))
    path = state / "trust" / f"{tenant}.root.json"
    if root is not None and not (path.is_file() and path.read_bytes() == root):
        durable.replace(path, root)
