"""The `ordain` command: data on stdout, messages on stderr, exit codes that mean something.

0 done or accepted, 1 refused, 2 wrong usage or input, 3 could not be done or judged. One module per group
of commands, imported only when its command is asked for.
"""

import os
import sys
import traceback

import click

from agent.protocol.errors import OrdainError
from reconciler.cli.lazy import LazyGroup

COMMANDS = {
    "accept-history": "reconciler.cli.history:accept_history",
    "agents": "reconciler.cli.agents:agents",
    "artifact": "reconciler.cli.artifact:artifact",
    "audit": "reconciler.cli.audit:audit",
    "backup": "reconciler.cli.backup:backup",
    "check": "reconciler.cli.check:check",
    "doctor": "reconciler.cli.doctor:doctor",
    "drift": "reconciler.cli.drift:drift",
    "explain": "reconciler.cli.explain:explain",
    "forge": "reconciler.cli.forge:forge",
    "freeze": "reconciler.cli.freeze:freeze",
    "gc": "reconciler.cli.gc:gc",
    "history": "reconciler.cli.fleet_history:history",
    "hooks": "reconciler.cli.hooks:hooks",
    "import": "reconciler.cli.importing:import_",
    "init": "reconciler.cli.init:init",
    "keys": "reconciler.cli.keys:keys",
    "login": "reconciler.cli.login:login",
    "logout": "reconciler.cli.login:logout",
    "mirror": "reconciler.cli.mirror:mirror",
    "mode": "reconciler.cli.mode:mode",
    "operators": "reconciler.cli.operators:operators",
    "plan": "reconciler.cli.plan:plan",
    "policy": "reconciler.cli.policy:policy",
    "reconcile": "reconciler.cli.run:reconcile",
    "registry": "reconciler.cli.registry:registry",
    "relay": "reconciler.cli.relay:relay",
    "release": "reconciler.cli.release:release",
    "report": "reconciler.cli.compliance:report",
    "restore": "reconciler.cli.backup:restore",
    "rollout": "reconciler.cli.rollout:rollout",
    "schema": "reconciler.cli.schema:schema",
    "secrets": "reconciler.cli.sealing:secrets",
    "serve": "reconciler.cli.run:serve",
    "signers": "reconciler.cli.signers:signers",
    "state": "reconciler.cli.state_at:state",
    "status": "reconciler.cli.status:status",
    "token": "reconciler.cli.tokens:token",
    "up": "reconciler.cli.run:up",
    "waive": "reconciler.cli.waive:waive",
    "whoami": "reconciler.cli.login:whoami",
    "why": "reconciler.cli.why:why",
}
"""Command → `module:attribute`; help texts come from the modules."""


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ordain", prog_name="ordain")
def cli() -> None:
    """GitOps policy-as-code for agent fleets.

    \b
    Example:
      ordain init my-fleets                             make a fleet repository that passes
      ordain check my-fleets                            judge it, without any server
      ordain up --repo my-fleets --state ordain-state   run everything on this machine
    """


def main() -> None:
    """Run the command line; errors of ordain's own families end it with a message and their exit code."""
    try:
        # No standalone mode: what comes back is the code that a command gave to ctx.exit.
        outcome = cli.main(standalone_mode=False, color=False if os.environ.get("NO_COLOR") else None)
        sys.exit(outcome if isinstance(outcome, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except OrdainError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception:  # noqa: BLE001 - Python's own exit code for this is 1, which here would say "refused"
        traceback.print_exc()
        click.echo("error: this is a fault of ordain; please report it with the lines above", err=True)
        sys.exit(3)
