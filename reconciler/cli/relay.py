"""`ordain relay`: a site's own copy of its fleets' releases, and its reports on their way."""

import dataclasses
import sys
from pathlib import Path

import click

from reconciler import bounds, logs, metrics, process, settings
from reconciler.control.authority.listening import BACKLOG, tune
from reconciler.relay.metrics import RelayCollector
from reconciler.relay.relaying import Relay, RelaySettings

MEBIBYTE = 1024 * 1024


@click.command()
@click.option(
    "--identity",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="`identity` in the state directory of this host's agent, whose certificate is used.",
)
@click.option("--server", default="", help="Address of the server.  [default: that which the agent enrolled with]")
@click.option("--state", required=True, type=click.Path(file_okay=False, path_type=Path), help="Directory of everything kept.")
@click.option("--listen", default="127.0.0.1:8420", show_default=True, help="Address for hosts, behind TLS.")
@click.option("--local", default="127.0.0.1:8422", show_default=True, help="Loopback address for health and metrics.")
@click.option("--fleet", "fleets", multiple=True, help="Carry only this fleet; may be given several times.  [default: all that git names]")
@click.option("--spool", default=256, show_default=True, type=click.IntRange(min=1), help="MiB of reports that may wait for the server.")
@click.option("--log-format", default="text", show_default=True, type=click.Choice(["text", "json"]), help="How log lines look.")
def relay(  # noqa: PLR0917 - click passes options by name
    identity: Path, server: str, state: Path, listen: str, local: str, fleets: tuple[str, ...], spool: int, log_format: str
) -> None:
    """Answer the hosts of a site in the server's place, from verified copies, also while the server can't be reached.

    This host's agent is enrolled, and its manifest says `relay: {fleets: […], names: […]}`. Hosts of the site enrol with, and ask, one of
    those names.

    \b
    Example:
      ordain relay --identity /var/lib/ordain-agent/identity --state /var/lib/ordain-relay --listen 0.0.0.0:8420
    """
    logs.configure(dataclasses.replace(settings.LogSettings(), format=log_format))
    address, beside = bounds.address(listen), bounds.loopback(local)
    tune()
    with process.only_one(state):
        made = Relay(
            RelaySettings(identity=identity, state=state, server=server.rstrip("/"), fleets=frozenset(fleets), spool=spool * MEBIBYTE)
        )
        exposed = metrics.exposition(RelayCollector(made))

        def hosts_at(url: str) -> None:
            made.listens = True
            _say("hosts", url)

        listeners = [
            process.Listener(
                application=made.application(),
                address=address,
                said=hosts_at,
                context=made.shown.context,
                guard=made.guards.guarded,
                backlog=BACKLOG,
                missing="the relay has no certificate; the server issues one once this agent's manifest states the names",
            ),
            process.Listener(application=made.beside(exposed), address=beside, said=lambda url: _say("local", url)),
        ]
        sys.exit(process.run({}, listeners))


def _say(what: str, url: str) -> None:
    click.echo(f"ordain: {what} at {url}", err=True)
