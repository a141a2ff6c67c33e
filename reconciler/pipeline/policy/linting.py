"""What a rule needs besides compiling: so that others can read it, find it, and trust it. Each finding has its place and a remedy.

Files that a judge would not take are named by `judge.load` before any of this; what was written for conftest is left as it is.
"""

import difflib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.protocol.errors import RetryError
from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.policy import habits
from reconciler.pipeline.policy.judge import Judge
from reconciler.pipeline.policy.library import VENDORED
from reconciler.pipeline.policy.metadata import Rule
from reconciler.pipeline.policy.scaffold import PAGE
from reconciler.pipeline.tree import Tree

LINT = "policy/lint"
"""The rule that all of these findings are of; their code says which check it was."""
FORMAT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """What was looked at: how many rules, and what was found, in order of place."""

    rules: int
    findings: tuple[Finding, ...]


def lint(judge: Judge, tree: Tree, policies: str, opa: Path, *, prefix: str = "") -> Linted:
    """Look at the rules whose place begins with `prefix` and else is a path in `tree`, below `policies`.

    Raises:
        RetryError: OPA can't be run.
    """
    rules = {
        rule.file.removeprefix(prefix): rule for rule in judge.rules.values() if rule.file.startswith(prefix) and rule.path[0] != "conftest"
    }
    rules = {file: rule for file, rule in rules.items() if file in tree.entries and not file.startswith(f"{policies}/{VENDORED}/")}
    tests = [f"{file.removesuffix('.rego')}_test.rego" for file in rules]
    texts = {file: tree.read(file) for file in (*rules, *tests) if file in tree.entries}
    findings = [
        *(one for file, rule in rules.items() for one in _about(file, rule, tree, pages=not prefix)),
        *_formatted(texts, opa),
        *(one for file, found in habits.found(texts, opa).items() for one in found),
    ]
    findings.sort(key=lambda one: (one.place.file, one.place.line or 1, one.place.column or 1, one.code))
    return Linted(rules=len(rules), findings=tuple(findings))


def _about(file: str, rule: Rule, tree: Tree, *, pages: bool) -> Iterator[Finding]:
    """Yield what is missing around a rule; `pages` is False for the library, whose pages are made of METADATA."""
    yield from _metadata(file, rule, tree.read(file))
    where = PurePosixPath(file)
    wanted = tuple(part.replace("_", "-") for part in rule.path[-2:])
    if (where.parent.parent.name, where.parent.name, where.stem) != (*wanted, wanted[-1]):
        message = f"{rule.id} lies where its id does not lead"
        yield _finding("placement", message, file, f"move it to {'/'.join(wanted)}/{wanted[-1]}.rego, its tests and examples with it")
    test = str(where.with_name(f"{where.stem}_test.rego"))
    if test not in tree.entries:
        yield _finding("test", "it has no Rego tests", file, f"write {test}, package {'.'.join(('ordain', *rule.path))}_test")
    for kind, words in (("pass", "lets pass"), ("fail", "finds")):
        if not any(path.startswith(f"{where.parent}/examples/{kind}-") for path in tree.entries):
            yield _finding("example", f"no example shows what it {words}", file, f"write {where.parent}/examples/{kind}-<what>.yaml")
    page = f"{where.parent}/{PAGE}"
    if pages and page not in tree.entries:
        yield _finding("page", "it has no page", file, f"write {page}: its id, why it is kept, and what to do")
    elif pages and rule.id not in tree.read(page).decode(errors="replace"):
        yield _finding("page", f"the page does not name {rule.id}", page, f"begin it with # {rule.id}")


def _metadata(file: str, rule: Rule, text: bytes) -> Iterator[Finding]:
    remedy = "say it in METADATA, before `package`; `ordain policy new` shows where"
    for name, stated, why in (
        ("description", rule.description, "who is refused reads why there"),
        ("custom.remedy", rule.remedy, "who is refused reads there what to do"),
    ):
        if not stated:
            yield _finding("metadata", f"METADATA has no {name}: {why}", file, remedy)
    if b"input: schema.input" not in text:
        message = "METADATA does not type the input, so a misspelt field makes a rule that never fires"
        yield _finding("schemas", message, file, "add schemas: [input: schema.input] and, for one kind, input.object: schema.<kind>")


def _formatted(texts: Mapping[str, bytes], opa: Path) -> Iterator[Finding]:
    """Yield the first line of each file that `opa fmt` would write otherwise."""
    with tempfile.TemporaryDirectory(prefix="ordain-lint-") as name:
        root = Path(name)
        for file, content in texts.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(content)
        try:
            done = subprocess.run(
                [str(opa), "fmt", "--write", "."], cwd=root, capture_output=True, text=True, timeout=FORMAT_SECONDS, check=False
            )
        except (OSError, subprocess.SubprocessError) as error:
            message = f"opa fmt can't be run: {error}; try again, or name another OPA in ORDAIN_OPA"
            raise RetryError(message) from error
        if done.returncode:
            message = f"opa fmt failed: {done.stderr.strip()[:300]}; `ordain policy test` shows where"
            raise RetryError(message)
        for file, content in texts.items():
            yield from _unlike(file, content.decode(errors="replace"), (root / file).read_text(errors="replace"))


def _unlike(file: str, stated: str, wanted: str) -> Iterator[Finding]:
    changes = difflib.SequenceMatcher(None, stated.splitlines(), wanted.splitlines(), autojunk=False).get_opcodes()
    first = next((one for one in changes if one[0] != "equal"), None)
    if first is not None:
        line = " ".join((wanted.splitlines()[first[3] : first[4]] or ["nothing there"])[0].split())
        yield _finding(
            "format",
            f"`opa fmt` writes this otherwise: {line[:100]}",
            file,
            "run `$(ordain policy opa) fmt --write` on it",
            line=first[1] + 1,
        )


def _finding(check: str, message: str, file: str, remedy: str, *, line: int = 1, column: int = 1) -> Finding:
    place = Place(file=file, line=line, column=column)
    return Finding(action="deny", rule=LINT, code=f"lint/{check}", message=message, place=place, remedy=remedy)
