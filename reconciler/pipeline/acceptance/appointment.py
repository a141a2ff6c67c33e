"""Which judge a snapshot brings, and why not where it brings none."""

from dataclasses import dataclass
from pathlib import Path

from reconciler.pipeline.acceptance.corpus import read_file, repository_of
from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.manifests import REPOSITORY_FILE, Layout, layout_of
from reconciler.pipeline.policy.checking import Reports
from reconciler.pipeline.policy.judge import Judge, JudgeRefused, load
from reconciler.pipeline.tree import Tree

DEFAULT_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """The judge of a snapshot, how its `ordain.yaml` says that it is read, and the bundle format it pins."""

    layout: Layout
    judge: Judge | None
    findings: tuple[Finding, ...] = ()
    bundle_format: int = DEFAULT_FORMAT


def appoint(tree: Tree, *, opa: Path, cache: Path | None = None, reports: Reports | None = None) -> Appointment:
    """Read `ordain.yaml` and the policies of a snapshot into a judge; `reports` remembers Rego that was checked before.

    Raises:
        RetryError: OPA can't be run. Everything that the snapshot itself does wrong is a finding.
    """
    try:
        file = read_file(tree, REPOSITORY_FILE, Layout())
    except KeyError:
        return Appointment(layout=Layout(), judge=None, findings=(_absent(),))
    repository = repository_of(file)
    if repository is None:
        return Appointment(layout=Layout(), judge=None, findings=file.findings or (_absent(),))
    layout = layout_of(repository)
    stated = repository.spec.get("format", DEFAULT_FORMAT)
    bundle_format = stated if isinstance(stated, int) else DEFAULT_FORMAT
    try:
        judge = load(tree, repository.value, layout, opa=opa, cache=cache, reports=reports)
    except JudgeRefused as refusal:
        return Appointment(layout=layout, judge=None, findings=refusal.findings, bundle_format=bundle_format)
    usable = not any(finding.action == "deny" for finding in judge.findings)
    return Appointment(layout=layout, judge=judge if usable else None, findings=judge.findings, bundle_format=bundle_format)


def _absent() -> Finding:
    return Finding(
        action="deny",
        rule="manifest/repository",
        code="repository/missing",
        message=f"there is no {REPOSITORY_FILE} with a Repository manifest at the root",
        remedy="add one, as `ordain init` does, or name the root of a fleet repository",
        place=Place(file=REPOSITORY_FILE),
    )


def loosened(before: Judge | None, after: Judge | None) -> tuple[str, ...]:
    """Return in words what a new judge would no longer refuse: rules gone, or their level lowered as a rule."""
    if before is None or after is None:
        return ()
    order = ("off", "audit", "warn", "deny")
    said = [f"{rule} is gone" for rule in sorted(before.rules.keys() - after.rules.keys())]
    for rule in sorted(before.rules.keys() & after.rules.keys()):
        old, new = before.level(rule, "", ""), after.level(rule, "", "")
        if order.index(new) < order.index(old):
            said.append(f"{rule} is {new} instead of {old}")
    return tuple(said)
