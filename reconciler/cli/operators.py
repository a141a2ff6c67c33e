"""`ordain operators`: who may sign in or ask by a token. What they may do, Role manifests in git say."""

import json
from pathlib import Path

import click

from agent.protocol.identity import require_label
from reconciler.cli.connection import FORMAT, REASON, reach, reaching
from reconciler.cli.instants import as_seconds, is_past
from reconciler.cli.tables import table

COLUMNS = ("SUBJECT", "NAME", "SINCE", "BY", "REMOVED")
TOKEN_COLUMNS = ("ID", "SUBJECT", "KIND", "FOR", "ONLY FOR", "EXPIRES", "LAST USED", "STATE")


@click.group()
def operators() -> None:
    """Operators: people who signed in, and those without an account, such as programs.

    Being one gives no rights: Role manifests name subjects (`operator:ci`), and settings name who runs the installation.

    \b
    Examples:
      ordain operators add ci --name "the release pipeline" --state /var/lib/ordain
      ordain operators token create operator:ci --ttl 30d --action agents.read --tenant shop
    """


@operators.command("list")
@FORMAT
@reaching
def list_operators(form: str, state: Path | None, server: str | None) -> None:
    """List operators.

    \b
    Example:
      ordain operators list
    """
    rows = reach(state=state, server=server).pages("/api/v1/operators", "operators")
    if form == "json":
        return click.echo(json.dumps({"operators": rows}, indent=2, ensure_ascii=False))
    shown = [
        (row["subject"], row["shown"], row["createdAt"], row["createdBy"], _removed(row["disabledAt"], row["disabledWhy"])) for row in rows
    ]
    for line in table(COLUMNS, shown):
        click.echo(line)
    return None


def _removed(at: str, why: str) -> str:
    return f"{at}: {why}" if at else ""


@operators.command()
@click.argument("name")
@click.option("--name", "shown", help="Who or what it is, for people.")
@FORMAT
@reaching
def add(name: str, shown: str | None, form: str, state: Path | None, server: str | None) -> None:
    """Add an operator who has no account at the identity provider; roles name it as operator:NAME.

    \b
    Example:
      ordain operators add ci --name "the release pipeline"
    """
    made = reach(state=state, server=server).ask("POST", "/api/v1/operators", body={"name": name, "shown": shown or ""})
    if form == "json":
        return click.echo(json.dumps(made, indent=2, ensure_ascii=False))
    return click.echo(f"{made['subject']} is added; it may do what Role manifests say that name it", err=True)


@operators.command()
@click.argument("subject")
@REASON
@FORMAT
@reaching
def remove(subject: str, reason: str, form: str, state: Path | None, server: str | None) -> None:
    """Let an operator in no more, by whatever token or sign-in; its name is not given again.

    \b
    Example:
      ordain operators remove operator:ci --reason "replaced by ci2"
    """
    done = reach(state=state, server=server).ask("POST", "/api/v1/operators/remove", body={"subject": subject, "reason": reason})
    if form == "json":
        return click.echo(json.dumps(done, indent=2, ensure_ascii=False))
    return click.echo(f"{done['target']} is {done['state']}", err=True)


@operators.group()
def token() -> None:
    """Tokens by which operators ask.

    \b
    Example:
      ordain operators token list
    """


@token.command("create")
@click.argument("subject")
@click.option("--ttl", callback=as_seconds, default="30d", show_default=True, help="For how long, up to 366d.")
@click.option("--action", "actions", multiple=True, help="Only for this (agents.read, agents.*); may be given often.")
@click.option("--tenant", "tenants", multiple=True, help="Only for this tenant; may be given often.")
@click.option("--for", "shown", default="", help="What it is for.")
@FORMAT
@reaching
def create_token(  # noqa: PLR0917 - click passes options by name
    subject: str,
    ttl: int,
    actions: tuple[str, ...],
    tenants: tuple[str, ...],
    shown: str,
    form: str,
    state: Path | None,
    server: str | None,
) -> None:
    """Make a token for an operator and print it: this once, and nowhere else. It never allows more than its owner may.

    \b
    Example:
      ordain operators token create operator:ci --ttl 30d --action agents.read --tenant shop
    """
    asked = {"subject": subject, "ttl": ttl, "shown": shown, "scope": {"actions": actions, "tenants": tenants}}
    made = reach(state=state, server=server).ask("POST", "/api/v1/operators/tokens", body=asked)
    if form == "json":
        return click.echo(json.dumps(made, indent=2))
    click.echo(made["token"])
    return click.echo(f"expires {made['expires']}; programs take it as ORDAIN_TOKEN, beside ORDAIN_SERVER", err=True)


@token.command("list")
@click.option("--subject", help="Of one operator.")
@FORMAT
@reaching
def list_tokens(subject: str | None, form: str, state: Path | None, server: str | None) -> None:
    """List tokens and sign-ins, without their secrets; under ONLY FOR the actions and tenants that a token is narrowed to.

    \b
    Example:
      ordain operators token list --subject operator:ci
    """
    query = {"subject": subject} if subject else {}
    rows = reach(state=state, server=server).pages("/api/v1/operators/tokens", "tokens", query=query)
    if form == "json":
        return click.echo(json.dumps({"tokens": rows}, indent=2, ensure_ascii=False))
    shown = [
        (
            row["id"],
            row["subject"],
            row["kind"],
            row["shown"],
            ", ".join([*row["scope"]["actions"], *row["scope"]["tenants"]]),
            row["expires"],
            row["usedAt"] or "never",
            "revoked" if row["revokedAt"] else "expired" if is_past(row["expires"]) else "",
        )
        for row in rows
    ]
    for line in table(TOKEN_COLUMNS, shown):
        click.echo(line)
    return None


@token.command("revoke")
@click.argument("id_", metavar="ID")
@FORMAT
@reaching
def revoke_token(id_: str, form: str, state: Path | None, server: str | None) -> None:
    """Make a token, or a sign-in, useless.

    \b
    Example:
      ordain operators token revoke 5f3a9c1b2d4e6f70
    """
    done = reach(state=state, server=server).ask("DELETE", f"/api/v1/operators/tokens/{require_label(id_, 'token')}")
    if form == "json":
        return click.echo(json.dumps(done, indent=2, ensure_ascii=False))
    return click.echo(f"{done['target']} is {done['state']}", err=True)
