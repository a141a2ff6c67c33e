"""`ordain reconcile`, `ordain serve` and `ordain up`: the two zones, apart or in one process."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from aiohttp import web

from agent.protocol.errors import InputError
from reconciler import bounds, health, logs, metrics, process, settings, wiring
from reconciler.key_status import KeyExpiryCollector
from reconciler.pipeline.loop import Progress
from reconciler.pipeline.source import locate
from reconciler.publication.keys import REPOSITORY
from reconciler.serving import listeners

Command = Callable[..., None]


def shared(command: Command) -> Command:
    """Add the options that all three commands have."""
    for option in reversed(
        (
            click.option("--state", required=True, type=click.Path(file_okay=False, path_type=Path), help="Directory of everything kept."),
            click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML)."),
            click.option("--log-format", type=click.Choice(["text", "json"]), help="How log lines look. [default: text]"),
        )
    ):
        command = option(command)
    return command


def facing(command: Command) -> Command:
    """Add the options of what faces agents and operators."""
    for option in reversed(
        (
            click.option("--listen", help="Address for agents and operators, behind TLS. [default: 127.0.0.1:8420]"),
            click.option("--local", help="Loopback address for health, metrics and webhooks. [default: 127.0.0.1:8422]"),
        )
    ):
        command = option(command)
    return command


def _load(state: Path, file: Path | None, log_format: str | None, **groups: dict[str, Any]) -> settings.Settings:
    loaded = settings.load(file, state=state)
    if log_format:
        groups["log"] = {"format": log_format}
    for name, values in groups.items():
        given = {key: value for key, value in values.items() if value is not None}
        loaded = dataclasses.replace(loaded, **{name: dataclasses.replace(getattr(loaded, name), **given)})
    logs.configure(loaded.log)
    return loaded


def _need_repository(loaded: settings.Settings) -> None:
    if not loaded.source.repository:
        message = "no fleet repository: give --repo PATH_OR_URL, or [source] repository in the settings file"
        raise InputError(message)
    path = locate(loaded.source.repository).path
    if path is not None and not path.is_dir():
        message = f"{path}: there is no such directory; give --repo the path of a git repository, or its https:// URL"
        raise InputError(message)


@click.command()
@shared
@click.option("--repo", help="Path, or https or ssh URL, of the fleet repository.")
@click.option("--branch", help="Branch to follow. [default: the remote's HEAD]")
@click.option("--listen", help="Loopback address for /healthz, /readyz and /metrics. [default: 127.0.0.1:8421]")
def reconcile(  # noqa: PLR0917 - click passes options by name
    state: Path, file: Path | None, log_format: str | None, repo: str | None, branch: str | None, listen: str | None
) -> None:
    """Run the pipeline: git in, signed releases out.

    \b
    Example:
      ordain reconcile --state /var/lib/ordain --repo https://git.example.com/fleets.git
    """
    loaded = _load(state, file, log_format, source={"repository": repo, "branch": branch}, listen={"health": listen})
    _need_repository(loaded)
    progress = Progress()
    app = health.add_routes(
        web.Application(),
        ready=lambda: _missing(progress),
        metrics=metrics.exposition(metrics.PipelineCollector(progress), _expiry(loaded)),
    )
    with process.only_one(state):
        loops = {"pipeline": wiring.pipeline(loaded, progress)}
        address = bounds.loopback(loaded.listen.health)
        listener = process.Listener(application=app, address=address, said=lambda url: _say("health", url))
        sys.exit(process.run(loops, [listener]))


@click.command()
@shared
@facing
def serve(state: Path, file: Path | None, log_format: str | None, listen: str | None, local: str | None) -> None:
    """Run the control zone: publish what is approved, and hand it to agents.

    \b
    Example:
      ordain serve --state /var/lib/ordain-serve --settings serve.toml
    """
    loaded = _load(state, file, log_format, listen={"control": listen, "local": local})
    passed: list[bool] = []
    with process.only_one(state), wiring.opened_registry(loaded) as registry, wiring.gatekeeper(loaded) as gates:
        loops = {"control": wiring.control(loaded, ready=lambda: passed.append(True), registry=registry, gates=gates)}
        collectors = [_expiry(loaded), metrics.BudgetCollector(gates.burns)]
        with listeners(loaded, registry, say=_say, ready=lambda: bool(passed), collectors=collectors, files=False) as facing_them:
            code = process.run(loops, facing_them)
        sys.exit(code)


@click.command()
@shared
@click.option("--repo", help="Path, or https or ssh URL, of the fleet repository.")
@click.option("--branch", help="Branch to follow. [default: the remote's HEAD]")
@facing
def up(  # noqa: PLR0917 - click passes options by name
    state: Path, file: Path | None, log_format: str | None, repo: str | None, branch: str | None, listen: str | None, local: str | None
) -> None:
    """Run everything in one process, with development keys for every tenant that appears.

    Each tenant's root metadata, which agents start from, is kept at STATE/trust/<tenant>.root.json.

    \b
    Example:
      ordain up --repo my-fleets --state /tmp/ordain --listen 127.0.0.1:8420
    """
    loaded = _load(state, file, log_format, source={"repository": repo, "branch": branch}, listen={"control": listen, "local": local})
    _need_repository(loaded)
    progress = Progress()
    passed: list[bool] = []
    with process.only_one(state), wiring.opened_registry(loaded) as registry, wiring.gatekeeper(loaded) as gates:
        loops = {
            "pipeline": wiring.pipeline(loaded, progress, make_keys=wiring.development(loaded)),
            "control": wiring.control(loaded, ready=lambda: passed.append(True), registry=registry, gates=gates),
        }
        with listeners(
            loaded,
            registry,
            say=_say,
            ready=lambda: bool(passed) and progress.ready,
            collectors=[metrics.PipelineCollector(progress), _expiry(loaded), metrics.BudgetCollector(gates.burns)],
            files=True,
            make=lambda tenant, domain: wiring.development_certificates(loaded, tenant, domain=domain),
        ) as facing_them:
            code = process.run(loops, facing_them)
        sys.exit(code)


def _expiry(loaded: settings.Settings) -> KeyExpiryCollector:
    ring = loaded.ring("pipeline")
    return KeyExpiryCollector(loaded.open_store(), ring.publics(REPOSITORY) if ring.has(REPOSITORY) else ())


def _missing(progress: Progress) -> str:
    return "" if progress.ready else progress.problem or f"examining {progress.source[:12]}"


def _say(what: str, url: str) -> None:
    click.echo(f"ordain: {what} at {url}", err=True)
