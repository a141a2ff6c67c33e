"""`ordain policy debug`: why a rule finds something in a file, or doesn't, line by line with the values on each."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import InputError
from reconciler.cli.policy_source import FORMAT, OPA, UNJUDGED, Place, judge_of, place_of, rule_of
from reconciler.cli.progress import Progress
from reconciler.opa.program import find_opa
from reconciler.pipeline.manifests import REPOSITORY_FILE, Document, is_manifest, parse_file
from reconciler.pipeline.policy import examples, library
from reconciler.pipeline.policy.evaluate import Policies
from reconciler.pipeline.policy.judge import Judge, Rule
from reconciler.pipeline.policy.metadata import COMPONENT
from reconciler.pipeline.policy.recorder import Recorder, Seen
from reconciler.pipeline.policy.tracing import Line, Pass, Trace, trace
from reconciler.pipeline.survey import survey
from reconciler.printable import printable
from reconciler.publication.times import stamp

SUBJECTS_LIMIT = 5
"""Subjects that are shown: those with findings first, since a file or a fleet may have many."""
TRACED_LIMIT = 20
"""Subjects that are traced: each is an OPA of its own."""
PASSES_SHOWN = 40
"""Passes that text shows of each; JSON has all that are kept."""
BYTES_LIMIT = 1024 * 1024
"""Bytes of a file to debug with, as of any manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Debugged:
    """What a rule did with one subject, in the words that name it."""

    subject: str
    trace: Trace


@click.command("debug")
@click.argument("rule")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@FORMAT
@OPA
def debug(rule: str, file: Path, form: str, opa: Path | None) -> None:
    """Show what RULE does with FILE: each line that it reaches, the values there, and where it stops.

    FILE is a manifest of a fleet repository, an example, or any file of that form. What a sensitive rule looks at is not shown.
    Exit codes: 0 shown, whatever was found; 1 the rules don't compile, 2 wrong usage, 3 the rule failed.

    \b
    Examples:
      ordain policy debug files/not-in-tmp fleets/tenants/shop/components/web.yaml
      ordain policy debug hygiene/owner policies/hygiene/examples/fail-nobody.yaml --format json
      ordain policy debug host-safety/sshd fleets/tenants/shop/fleets/web.yaml    texts that this fleet fills in
    """
    place, found = place_of(_root(file)), find_opa(opa)
    judge = judge_of(place, found)
    chosen = rule_of(judge, rule)
    path, text = _source(chosen, place)
    with Progress() as said:
        said("finding out what the rule is asked")
        questions = _questions(chosen, judge, place, file, found)
        told = []
        for subject, seen in questions[:TRACED_LIMIT]:
            said(f"tracing {subject}")
            told.append(Debugged(subject=subject, trace=trace(chosen, path, text, seen, bundle=judge.bundle, opa=found)))
    told = sorted(told, key=lambda one: not one.trace.findings and not one.trace.error)[:SUBJECTS_LIMIT]
    if form == "json":
        click.echo(
            json.dumps({"rule": chosen.id, "file": chosen.file, "subjects": [_as_json(one) for one in told]}, indent=2, ensure_ascii=False)
        )
    else:
        click.echo("\n\n".join("\n".join(_as_text(one, chosen)) for one in told))
    if len(questions) > SUBJECTS_LIMIT:
        click.echo(f"{SUBJECTS_LIMIT} of {len(questions)} are shown, those with findings first", err=True)
    sys.exit(UNJUDGED if any(one.trace.error for one in told) else 0)


def _root(file: Path) -> Path | None:
    """Return the fleet repository that a file is in, else the one that the caller is in; None for ordain's own rules alone."""
    for directory in (*file.resolve().parents, Path.cwd(), *Path.cwd().parents):
        if (directory / REPOSITORY_FILE).is_file():
            return directory
    return None


def _source(rule: Rule, place: Place) -> tuple[str, str]:
    """Return where the file of a rule is in the judge's bundle, and its text."""
    sources = library.collect(place.tree, place.layout.policies)
    found = next((one for one in (*sources.files.values(), *sources.conftest.values()) if one.place == rule.file), None)
    if found is None or found.origin == "conftest":
        message = f"{rule.id} was written for conftest, and can't be traced here; use `opa eval --explain=full` on its file"
        raise InputError(message)
    return found.path, found.content.decode(errors="replace")


def _questions(rule: Rule, judge: Judge, place: Place, file: Path, opa: Path) -> list[tuple[str, Seen]]:
    """Return what the rule is asked about a file, each with its name.

    Raises:
        InputError: it is asked nothing.
    """
    if file.stat().st_size > BYTES_LIMIT:
        message = f"{file} has more than {BYTES_LIMIT} bytes; debug the rule with a smaller one"
        raise InputError(message)
    parsed = parse_file(str(file), data := file.read_bytes())
    if parsed.findings:
        message = f"{file}: {parsed.findings[0].message}; `ordain check` shows the line"
        raise InputError(message)
    recorder = Recorder()
    if _is_read(file, place):
        survey(place.tree, judge, {rule.id}, opa=opa, now=stamp(datetime.now(tz=UTC)), server=recorder)
        found = [(_named(seen, parsed.documents), seen) for seen in recorder.seen if _is_about(seen, parsed.documents, rule)]
    else:
        with Policies(judge, opa=opa, server=recorder) as policies:
            examples.ask(str(file), data, parsed.documents, rule, policies)
        found = [(_named(seen, parsed.documents), seen) for seen in recorder.seen]
    if not found:
        raise InputError(_unasked(rule, file))
    return found


def _is_read(file: Path, place: Place) -> bool:
    """Return whether a file is one of the manifests of a fleet repository."""
    if place.path is None or not file.resolve().is_relative_to(place.path.resolve()):
        return False
    return is_manifest(file.resolve().relative_to(place.path.resolve()).as_posix(), place.layout)


def _unasked(rule: Rule, file: Path) -> str:
    if rule.needs:
        return f"{rule.id} is asked about nothing until {' or '.join(rule.needs)} is set in {REPOSITORY_FILE}"
    about = f"each {' and '.join(sorted(rule.kinds))}" if rule.kinds else f"each {rule.scope}"
    about += ", and each Fleet that fills labels or parameters into one" if rule.finished else ""
    return f"{rule.id} is not asked about {file}: it is asked about {about}; name a file with one that is read and not refused"


def _is_about(seen: Seen, documents: tuple[Document, ...], rule: Rule) -> bool:
    """Return whether a question is about one of the manifests of a file; those about changes are about all of them."""
    if rule.scope == "change":
        return True
    subject = seen.input.get("object" if rule.scope == "object" else "fleet")
    return any(one.value == subject for one in documents) or (rule.finished and _fleet_of(seen, documents) is not None)


def _fleet_of(seen: Seen, documents: tuple[Document, ...]) -> Document | None:
    """Return the fleet that filled in what a rule is asked about: that has the shape of a Component, with the fleet's metadata."""
    subject = seen.input.get("object")
    if not isinstance(subject, dict) or subject.get("kind") != COMPONENT:
        return None
    return next((one for one in documents if one.kind == "Fleet" and one.value.get("metadata") == subject.get("metadata")), None)


def _named(seen: Seen, documents: tuple[Document, ...]) -> str:
    subject = seen.input.get("object") or seen.input.get("fleet")
    if not isinstance(subject, dict):
        return "the change as a whole"
    filled = _fleet_of(seen, documents)
    if filled is not None:
        return f"{', '.join(_items(seen))} as filled in for {_called(filled.value)}"
    what = "the release of " if "fleet" in seen.input else ""
    return what + _called(subject)


def _called(subject: Mapping[str, Any]) -> str:
    metadata = subject.get("metadata") or {}
    owner = f"{metadata['tenant']}/" if metadata.get("tenant") else ""
    return f"{subject.get('kind', 'a manifest')} {owner}{metadata.get('name', '')}"


def _items(seen: Seen) -> Iterator[str]:
    """Yield what the items are called that something was filled into."""
    for listed in seen.input["object"]["spec"].values():
        for item in listed if isinstance(listed, list) else ():
            yield str(item.get("path") or item.get("name") or "an item")


def _as_text(one: Debugged, rule: Rule) -> Iterator[str]:
    result = one.trace
    many = len(result.findings)
    found = click.style(f"it failed: {result.error}", fg="red") if result.error else f"{many or 'no'} finding{'' if many == 1 else 's'}"
    yield click.style(f"{rule.id} on {printable(one.subject)}: ", bold=True) + found
    yield from (f"  found: {printable(str(each.get('message', each)))}" for each in result.findings)
    if rule.sensitive:
        yield "  values are not shown: what this rule looks at may be a secret"
    if not result.passes:
        yield "  no line of it was reached"
    for each in result.passes[:PASSES_SHOWN]:
        yield from _pass(each)
    hidden = result.left_out + max(0, len(result.passes) - PASSES_SHOWN)
    if hidden:
        yield f"  … and {hidden} passes more; --format json has {len(result.passes)} of {result.left_out + len(result.passes)}"


def _pass(one: Pass) -> Iterator[str]:
    indent = "  " + "    " * one.depth
    how = click.style("came to its end", fg="green") if one.completed else click.style("stopped", fg="yellow")
    yield f"\n{indent}{one.definition}, {how}"
    for line in one.lines:
        last = line is one.lines[-1] and not one.completed
        yield f"{indent}{line.number:>4} | {printable(line.source)}" + (click.style("   <- stopped here", fg="yellow") if last else "")
        yield from _values(line, indent)


def _values(line: Line, indent: str) -> Iterator[str]:
    yield from (f"{indent}       {click.style(f'{name} = {printable(value)}', dim=True)}" for name, value in line.values.items())


def _as_json(one: Debugged) -> dict[str, object]:
    result = one.trace
    return {
        "subject": one.subject,
        "findings": list(result.findings),
        "error": result.error,
        "passesLeftOut": result.left_out,
        "passes": [
            {
                "definition": each.definition,
                "depth": each.depth,
                "completed": each.completed,
                "lines": [{"line": line.number, "source": line.source, "values": dict(line.values)} for line in each.lines],
            }
            for each in result.passes
        ],
    }
