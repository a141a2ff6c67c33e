"""What decides: the rule library, a repository's own rules, and what `ordain.yaml` says of both.

A judge is loaded from a tree, so a change can be judged by the one before it and by its own. Its digest covers all
that can change a verdict: router and rules, levels, parameters and overrides, schemas and capabilities. The version
of OPA is recorded apart from it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.protocol.codec import sha256
from agent.protocol.errors import RefusedError, RetryError
from reconciler.opa.bundle import archive
from reconciler.pipeline.attestations import keys_of
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Layout
from reconciler.pipeline.policy import checking, conftest, library, metadata, operators
from reconciler.pipeline.policy.checking import Reports
from reconciler.pipeline.policy.conftest import Conftest
from reconciler.pipeline.policy.levels import Levels, Setting, faults
from reconciler.pipeline.policy.library import Source
from reconciler.pipeline.policy.metadata import Level, Rule, Scope
from reconciler.pipeline.policy.stages import Cohort
from reconciler.pipeline.tree import Tree
from reconciler.publication.times import instant, stamp
from reconciler.resources import directory

if TYPE_CHECKING:
    from securesystemslib.signer import Key

__all__ = ["Judge", "JudgeRefused", "Level", "Rule", "Setting", "load", "pack"]


class JudgeRefused(RefusedError):  # noqa: N818 - it is no error of the program: a tree brings rules that can't judge
    """The tree's own rules can't judge: they don't compile, or touch packages that are not theirs."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("; ".join(f"{each.place.file}: {each.message}" for each in findings))
        self.findings = findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A compiled judge. `bundle` is an OPA bundle whose revision is `digest`.

    `findings` are faults of `ordain.yaml` that leave the judge usable (an unknown rule id, say): denies on
    that file, to be added to whatever else is found.
    """

    digest: str
    rules: Mapping[str, Rule]
    bundle: bytes
    findings: tuple[Finding, ...] = ()
    attesting: tuple["Key", ...] = ()
    """Keys that `ordain.yaml` takes provenance from."""
    signatures: Mapping[str, Any] = field(default_factory=dict)
    """What `ordain.yaml` says of who must sign."""
    levels: Levels = field(repr=False, compare=False)
    authz: Mapping[str, str] = field(default_factory=dict)
    """The repository's own rules about operators, Rego by name: they decide about no manifest, and go to `serve` with controls."""

    def on(self, now: str) -> "Judge":
        """Return the judge at an instant; without one, levels are as they are once all of their stages have begun."""
        levels = self.levels.on(now)
        return self if levels is self.levels else replace(self, levels=levels)

    def changes_between(self, since: str, now: str) -> bool:
        """Return whether time alone may bring other findings: a level's date came, or a rule asked to be asked again."""
        return any(since < date <= now for date in self.levels.dates) or any(
            _number(since, every) < _number(now, every) for every in self._rechecks()
        )

    def next_instant(self, now: str) -> str:
        """Return the next instant of which `changes_between` will speak, empty where there is none."""
        dates = [date for date in self.levels.dates if date > now]
        again = [stamp(datetime.fromtimestamp((_number(now, every) + 1) * every, tz=UTC)) for every in self._rechecks()]
        return min([*dates, *again], default="")

    def _rechecks(self) -> set[int]:
        return {rule.recheck for rule in self.rules.values() if rule.recheck and self.levels.anywhere(rule.id)}

    def settings(self, path: str, tenant: str, cohort: Cohort | None = None) -> Mapping[str, Setting]:
        """Return what each rule that concerns it does for a manifest at `path` of `tenant` ("" for none), which belongs to a cohort."""
        return self.levels.at(path, tenant, cohort)

    def setting(self, rule: str, path: str, tenant: str, cohort: Cohort | None = None) -> Setting:
        """Return what `rule` does for a manifest at `path` of `tenant`; another tenant's rule is off."""
        return self.settings(path, tenant, cohort).get(rule, Setting(level="off", parameters={}, standing="show"))

    @property
    def timed(self) -> frozenset[Scope]:
        """The scopes of rules that are on somewhere and may read the time: what they say may not hold later."""
        return frozenset(rule.scope for rule in self.rules.values() if rule.reads_time and self.levels.anywhere(rule.id))

    def level(self, rule: str, path: str, tenant: str) -> Level:
        """Return only the level of `setting`."""
        return self.setting(rule, path, tenant).level


def _number(now: str, seconds: int) -> int:
    """Return in which period since 1970 an instant lies: periods are the same everywhere, so a decision can be replayed."""
    return int(instant(now, what="the decision time").timestamp()) // seconds


def load(
    tree: Tree,
    repository: Mapping[str, Any] | None,
    layout: Layout,
    *,
    opa: Path,
    cache: Path | None = None,
    reports: Reports | None = None,
) -> Judge:
    """Compile the judge that `tree` brings; `repository` is the value of its `ordain.yaml`, if it has one.

    `cache` is not used: checking takes about 100 ms, less than proving that what a disk holds is what was checked.
    `reports` remembers files that were checked before, where there is something that can tell its own files from others.

    Raises:
        JudgeRefused: its rules don't compile or are not where they may be, with all findings.
        RetryError: OPA can't be run.
    """
    del cache
    sources = library.collect(tree, layout.policies)
    checked = checking.check(sources.files, opa, reports=reports)
    rules, wrong = metadata.rules(checked, _kinds())
    foreign = conftest.load(sources.conftest, opa)
    about_operators = operators.load(sources.authz, opa, reports=reports)
    findings = (*sources.findings, *checked.findings, *wrong, *foreign.findings, *about_operators.findings)
    if findings:
        _blame_ordain(findings)
        raise JudgeRefused(findings)
    stated = _stated(repository)
    rules, files = {**rules, **foreign.rules}, {**sources.files, **foreign.files}
    digest = _digest({**files, **sources.authz}, stated)
    return Judge(
        digest=digest,
        rules=rules,
        bundle=pack(files, digest, foreign),
        findings=tuple(faults(rules, stated)),
        attesting=keys_of(repository),
        signatures=stated.get("signatures") or {},
        levels=Levels(rules, stated),
        authz=about_operators.rules,
    )


def pack(files: Mapping[str, Source], digest: str, foreign: Conftest | None = None) -> bytes:
    """Return Rego files as an OPA bundle, without times or owners in it."""
    foreign = foreign or Conftest()
    manifest = {"revision": digest, **conftest.manifest(("ordain", *foreign.roots), foreign.versions)}
    contents = {".manifest": json.dumps(manifest, sort_keys=True).encode()} | {path: source.content for path, source in files.items()}
    return archive(contents)


def _kinds() -> dict[str, str]:
    """Return the kind of each schema of a manifest, by the schema's name."""
    found = {}
    for path in directory("schemas").glob("*.schema.json"):
        kind = json.loads(path.read_bytes()).get("properties", {}).get("kind", {}).get("const")
        if isinstance(kind, str):
            found[path.name.removesuffix(".schema.json")] = kind
    return found


def _stated(repository: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parts of `ordain.yaml` that decide about verdicts."""
    spec = (repository or {}).get("spec")
    parts = ("rules", "overrides", "provenance", "signatures")
    return {name: spec[name] for name in parts if name in spec} if isinstance(spec, dict) else {}


def _digest(files: Mapping[str, Source], stated: Mapping[str, Any]) -> str:
    parts = {
        "files": {path: sha256(source.content) for path, source in files.items()},
        "schemas": {path.name: sha256(path.read_bytes()) for path in sorted(directory("schemas").glob("*.json"))},
        "input": sha256((directory("policies") / "input.schema.json").read_bytes()),
        "capabilities": sha256((directory("policies") / "capabilities.json").read_bytes()),
        "ordain.yaml": stated,
    }
    return sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode())


def _blame_ordain(findings: tuple[Finding, ...]) -> None:
    """Raise `RetryError` where nothing of the repository is at fault: then this OPA and this library don't fit."""
    if all(finding.place.file.startswith(library.BUILT_IN) for finding in findings):
        message = f"ordain's own rules can't be compiled: {findings[0].message}; use the pinned OPA (`ordain policy opa`)"
        raise RetryError(message)
