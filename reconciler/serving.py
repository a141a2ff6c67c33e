"""What `ordain serve` and `ordain up` listen with: the control zone behind TLS, and on loopback what runs on the same machine asks for."""

import functools
import ipaddress
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from aiohttp import web
from prometheus_client.registry import Collector

from agent.protocol.errors import InputError
from reconciler import bounds, metrics, process, wiring
from reconciler.control.api.application import application
from reconciler.control.authority.keeper import Make
from reconciler.control.authority.listening import BACKLOG, tune
from reconciler.control.authority.rotation import Terms
from reconciler.control.authz.asking import Authz
from reconciler.control.console import Console, ConsoleSettings
from reconciler.control.enrolment.platforms import Platforms
from reconciler.control.enrolment.policy import Policy
from reconciler.control.identity.sign_in import SignIn
from reconciler.control.registry.registry import Registry
from reconciler.control.telling import Telling
from reconciler.control.zone import Zone, ZoneSettings
from reconciler.publication import operator_rules
from reconciler.publication.store import CONTROL_PREFIXES, Scoped, Store
from reconciler.rollout_metrics import RolloutCollector
from reconciler.settings import AuthoritySettings, OperatorSettings, Settings

Say = Callable[[str, str], None]
"""Called with what listens (`agents`, `local`) and its URL."""


@contextmanager
def listeners(
    loaded: Settings,
    registry: Registry,
    *,
    say: Say,
    ready: Callable[[], bool],
    collectors: Sequence[Collector],
    files: bool,
    make: Make | None = None,
) -> Iterator[list[process.Listener]]:
    """Wire what faces the network; the OPA that it holds is closed at the end.

    `files` has the loopback address hand out signed files too; `make` makes what the authority lacks for a tenant.

    Raises:
        InputError: settings that can't be: an address, a secret.
        RetryError: the registry can't be reached, or no OPA be had.
    """
    tune()
    store = Scoped(inner=loaded.open_store(), write=CONTROL_PREFIXES)
    beside = bounds.loopback(loaded.listen.local)
    hooks = wiring.hooks(loaded, registry)
    with Authz(wiring.opa(loaded.policy), rules=functools.partial(operator_rules.load, store)) as authz:
        platforms = Platforms(authority=loaded.identity.platforms_authority)
        zone = _zone(loaded, registry, store=store, authz=authz, platforms=platforms, make=make)
        console = _console(loaded, zone, authz=authz, platforms=platforms)
        secure = zone.application(operators=console.admission, more=console.routes(), hooks=hooks)
        secure.cleanup_ctx.append(wiring.housekeeping(loaded, registry, zone.known).running)
        secure.cleanup_ctx.append(Telling(registry=registry, known=zone.known, store=store, ring=loaded.ring("control")).running)
        exposed = metrics.exposition(
            *collectors,
            metrics.HookCollector(hooks.counts),
            metrics.TalkCollector(zone.talk, zone.gate.refused),
            metrics.JoinCollector(zone),
            metrics.OperatorCollector(console.admission.refused, authz.counts),
            RolloutCollector(registry, zone.known),
        )
        local = application(store, ready=ready, metrics=exposed, hooks=hooks, with_files=files or loaded.listen.files)
        yield [
            _facing(loaded, secure, zone, console, say=say),
            process.Listener(application=local, address=beside, said=lambda url: say("local", url)),
        ]


def _zone(loaded: Settings, registry: Registry, *, store: Store, authz: Authz, platforms: Platforms, make: Make | None) -> Zone:
    """Wire what faces hosts."""
    host, _ = bounds.address(loaded.listen.control)
    return Zone(
        ZoneSettings(
            store=store,
            ring=loaded.ring("control"),
            registry=registry,
            names=_names(loaded.listen.names, host),
            policy=Policy(authz),
            platforms=platforms,
            lifetime=timedelta(seconds=loaded.identity.certificate_life),
            make=make,
            terms=_terms(loaded.authority),
        )
    )


def _terms(asked: AuthoritySettings) -> Terms:
    """Return how a change of authority is tried."""
    return Terms(
        share=asked.canary_share,
        labels=asked.canary_labels,
        within=timedelta(seconds=asked.canary_time),
        grace=timedelta(seconds=asked.canary_grace),
        threshold=asked.threshold,
    )


def _console(loaded: Settings, zone: Zone, *, authz: Authz, platforms: Platforms) -> Console:
    """Wire what faces operators."""
    return Console(
        ConsoleSettings(
            registry=zone.settings.registry,
            known=zone.known,
            standing=zone.standing,
            store=zone.settings.store,
            authz=authz,
            fingerprints=zone.fingerprints,
            admins=loaded.operators.admins,
            sign_in=_sign_in(loaded.operators, platforms),
            intake=zone.talk.intake,
        )
    )


def _facing(loaded: Settings, secure: web.Application, zone: Zone, console: Console, *, say: Say) -> process.Listener:
    """Return the listener behind TLS; once it answers, commands on this machine are told how to get in."""

    def agents_at(url: str) -> None:
        console.announce(loaded.state, url=url, authority=zone.keeper.authority())
        say("agents", url)

    return process.Listener(
        application=secure,
        address=bounds.address(loaded.listen.control),
        said=agents_at,
        context=zone.listening.context,
        guard=zone.talk.guards.guarded,
        beside=(zone.listening.keep_fresh,),
        backlog=BACKLOG,
    )


def _sign_in(asked: OperatorSettings, tokens: Platforms) -> SignIn | None:
    """Return how operators sign in, None where no issuer is named."""
    if not asked.issuer:
        return None
    if not asked.client_id:
        message = "[operators] issuer is set, and client_id is not: operators sign in as a client of the issuer"
        raise InputError(message)
    return SignIn(issuer=asked.issuer, client_id=asked.client_id, audience=asked.audience, groups_claim=asked.groups_claim, tokens=tokens)


def _names(stated: Sequence[str], host: str) -> list[str]:
    """Return what stands in the server's certificate: what the settings say, where it listens, and this machine."""
    anywhere = ipaddress.ip_address(host).is_unspecified
    return [*stated, socket.gethostname() if anywhere else host, "localhost", "127.0.0.1", "::1"]
