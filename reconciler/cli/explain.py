"""`ordain explain`: what a rule says, why, what it does here, how to mend what it finds, and how to change its level."""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import click

from agent.protocol.errors import InputError
from reconciler.cli.explain_fields import fields_explained
from reconciler.opa.program import find_opa
from reconciler.pipeline.acceptance import appoint
from reconciler.pipeline.acceptance.corpus import read_file, repository_of
from reconciler.pipeline.descriptions import of_rule, structural
from reconciler.pipeline.finding import Description
from reconciler.pipeline.manifests import REPOSITORY_FILE, DirectoryTree, Layout
from reconciler.pipeline.policy.judge import Judge, load
from reconciler.pipeline.policy.library import BUILT_IN
from reconciler.pipeline.tree import EMPTY, Tree
from reconciler.pipeline.validation import KINDS
from reconciler.publication.times import stamp
from reconciler.resources import directory

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A manifest, or another input of a rule, that shows it; `fails` where the rule finds something in it."""

    file: str
    text: str
    fails: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that is known of a rule here; `policy` is False for what nobody can turn off, and `defaults` are its parameters unset."""

    rule: Description
    policy: bool
    defaults: Mapping[str, Any]
    overrides: tuple[Mapping[str, Any], ...] = ()
    examples: tuple[Example, ...] = ()


@click.command()
@click.argument("rule")
@click.argument("path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How it is printed.")
@click.option("--opa", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ORDAIN_OPA", help="OPA binary to use.")
def explain(rule: str, path: Path, form: str, opa: Path | None) -> None:
    """Explain RULE, as a finding of `ordain check` names it, with its level in the fleet repository at PATH.

    Where PATH is no fleet repository, ordain's own rules and levels are explained. A kind, or a field of one, is explained with
    all fields in it.

    \b
    Examples:
      ordain explain supply-chain/https-only     a policy rule
      ordain explain manifest/missing-parameter  one of manifests, which nobody can turn off
      ordain explain schema/fleet                the schema of a kind
      ordain explain Component.spec.processes    a field of a kind, and those in it
    """
    first, dot, rest = rule.partition(".")
    kind = next((known for known in KINDS if known.lower() == first.lower()), None)
    if kind is not None:
        click.echo(fields_explained(f"{kind}{dot}{rest}", form), nl=False)
        return
    known = {one.id: one for one in structural()}
    explanation = Explanation(rule=known[rule], policy=False, defaults={}) if rule in known else _policy(rule, path, opa, known)
    click.echo(_as_json(explanation) if form == "json" else "\n".join(_as_text(explanation)))


def _policy(name: str, path: Path, opa: Path | None, known: Mapping[str, Description]) -> Explanation:
    """Return the explanation of a policy rule; raise `InputError` with a hint if there is none of this name."""
    tree = DirectoryTree(path) if (path / REPOSITORY_FILE).is_file() else EMPTY
    judge = _judge(tree, find_opa(opa))
    rule = judge.rules.get(name)
    if rule is None:
        ids = sorted({*judge.rules, *known})
        close = difflib.get_close_matches(name, ids, n=1, cutoff=0.5) or [one for one in ids if one.endswith(f"/{name}")]
        hint = f"did you mean {close[0]}?" if close else "`ordain policy list` names the policy rules"
        message = f"no rule is called {name[:80]!r}; {hint}"
        raise InputError(message)
    return Explanation(
        rule=of_rule(judge, rule),
        policy=True,
        defaults=rule.parameters,
        overrides=tuple(_overrides(name, tree)),
        examples=tuple(_examples(rule.file, tree)),
    )


def _judge(tree: Tree, opa: Path) -> Judge:
    if tree is not EMPTY:
        appointment = appoint(tree, opa=opa)
        if appointment.judge is not None:
            return appointment.judge.on(stamp(datetime.now(tz=UTC)))
        click.echo(f"warning: this repository's own judge can't be used ({appointment.findings[0].message}); levels are ordain's", err=True)
    return load(EMPTY, None, Layout(), opa=opa)


def _overrides(name: str, tree: Tree) -> Iterator[Mapping[str, Any]]:
    """Yield what each override of `ordain.yaml` says of a rule, with the paths and tenants that it is for."""
    repository = repository_of(read_file(tree, REPOSITORY_FILE, Layout())) if REPOSITORY_FILE in tree.entries else None
    for override in repository.spec.get("overrides", ()) if repository is not None else ():
        if name in override["rules"]:
            yield {**{key: override[key] for key in ("paths", "tenants") if key in override}, **override["rules"][name]}


def _examples(file: str, tree: Tree) -> Iterator[Example]:
    """Yield the examples beside a rule's file: ordain's own where that is, else those of the repository."""
    built_in = file.startswith(BUILT_IN)
    source: Tree = DirectoryTree(directory("policies")) if built_in else tree
    beside = PurePosixPath(file.removeprefix(BUILT_IN)).parent / "examples"
    for path in source.entries:
        example = PurePosixPath(path)
        if example.parent == beside and example.suffix in SUFFIXES:
            yield Example(file=path, text=source.read(path).decode(errors="replace"), fails=example.name.startswith("fail-"))


def _as_text(one: Explanation) -> Iterator[str]:
    rule = one.rule
    yield click.style(f"{rule.id}: {rule.title}", bold=True)
    yield f"  level here: {rule.level}{f', {rule.becomes}' if rule.becomes else ''}{_others(one)}"
    yield f"  asked about: {_SCOPES.get(rule.scope, rule.scope)}"
    yield from _paragraph("Why", rule.description)
    yield from _paragraph("To mend it", rule.remedy)
    if rule.parameters:
        yield from _paragraph("Parameters here", "\n".join(_parameters(one)))
    for example in (*[each for each in one.examples if each.fails][:1], *[each for each in one.examples if not each.fails][:1]):
        title = "Refused, on the lines that are marked" if example.fails else "Passes"
        yield from _paragraph(f"{title} ({PurePosixPath(example.file).name})", example.text)
    yield from _paragraph("To change its level", _how_to_change(one))


def _others(one: Explanation) -> str:
    levels = sorted({str(each["level"]) for each in one.overrides if "level" in each} - {one.rule.level})
    return f" (and {', '.join(levels)} where an override of {REPOSITORY_FILE} says so)" if levels else ""


def _paragraph(title: str, text: str) -> Iterator[str]:
    yield ""
    yield click.style(title, bold=True)
    yield from (f"  {line}".rstrip() for line in text.rstrip().splitlines())


def _parameters(one: Explanation) -> Iterator[str]:
    for name, value in one.rule.parameters.items():
        default = one.defaults.get(name)
        unset = "" if value == default else f"  (by itself {json.dumps(default, ensure_ascii=False)})"
        yield f"{name}: {json.dumps(value, ensure_ascii=False)}{unset}"


def _how_to_change(one: Explanation) -> str:
    if not one.policy:
        return "It can't be changed: what it speaks of could not be judged, compiled or applied as it is meant."
    other = "warn" if one.rule.level == "deny" else "deny"
    for_all = f"in {REPOSITORY_FILE}, for all (off, audit, warn or deny):\n  spec: {{rules: {{{one.rule.id}: {{level: {other}}}}}}}\n"
    if one.rule.scope == "change":
        return for_all
    paths = f'or for some paths:\n  spec: {{overrides: [{{paths: ["tenants/lab/**"], rules: {{{one.rule.id}: {{level: {other}}}}}}}]}}\n'
    waiver = (
        "A Waiver excuses one verdict until a date: `ordain waive` writes one." if one.rule.waivable else "No waiver excuses what it finds."
    )
    return for_all + paths + waiver


def _as_json(one: Explanation) -> str:
    rule = one.rule
    document = {
        "id": rule.id,
        "title": rule.title,
        "description": rule.description,
        "remedy": rule.remedy,
        "policy": one.policy,
        "level": rule.level,
        "scope": rule.scope,
        "code": rule.code,
        "parameters": {name: {"value": value, "default": one.defaults.get(name)} for name, value in rule.parameters.items()},
        "overrides": [dict(each) for each in one.overrides],
        "file": rule.file,
        "examples": [{"file": each.file, "fails": each.fails, "text": each.text} for each in one.examples],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


_SCOPES = {
    "file": "each manifest file",
    "across": "manifests together",
    "object": "each manifest that changes",
    "release": "each fleet whose release changes",
    "change": "all that changes, once",
}
