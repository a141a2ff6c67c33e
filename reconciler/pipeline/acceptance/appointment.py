"""Which judge a snapshot brings, and why not where it brings none."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.pipeline.acceptance.corpus import read_file, repository_of
from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.manifests import REPOSITORY_FILE, Document, Layout, layout_of
from reconciler.pipeline.policy.checking import Reports
from reconciler.pipeline.policy.judge import Judge, JudgeRefused, load
from reconciler.pipeline.policy.stages import ORDER
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
    bundle_format = stated_format(repository)
    try:
        judge = load(tree, repository.value, layout, opa=opa, cache=cache, reports=reports)
    except JudgeRefused as refusal:
        return Appointment(layout=layout, judge=None, findings=refusal.findings, bundle_format=bundle_format)
    usable = not any(finding.action == "deny" for finding in judge.findings)
    return Appointment(layout=layout, judge=judge if usable else None, findings=judge.findings, bundle_format=bundle_format)


def stated_format(repository: Document | None) -> int:
    """Return the bundle format that `ordain.yaml` pins, the first one where it pins none."""
    stated = repository.spec.get("format") if repository is not None else None
    return stated if isinstance(stated, int) else DEFAULT_FORMAT


def _absent() -> Finding:
    return Finding(
        action="deny",
        rule="manifest/repository",
        code="repository/missing",
        message=f"there is no {REPOSITORY_FILE} with a Repository manifest at the root",
        remedy="add one, as `ordain init` does, or name the root of a fleet repository",
        place=Place(file=REPOSITORY_FILE),
    )


def loosened(before: Judge | None, after: Judge | None, now: str = "") -> tuple[str, ...]:
    """Return in words what a new judge would no longer refuse: rules gone, or their level lowered, now or on a day to come.

    Levels are compared for whoever belongs to no cohort and for somebody of each that `ordain.yaml` names, and at a path for each
    pattern of an override.
    """
    if before is None or after is None:
        return ()
    said = [f"{rule} is gone" for rule in sorted(before.rules.keys() - after.rules.keys())]
    said += [f"{rule}, a rule about operators, is gone" for rule in sorted(before.authz.keys() - after.authz.keys())]
    dates = sorted({date for judge in (before, after) for date in judge.levels.dates if date > now})
    pairs = [(before.on(date), after.on(date), date) for date in (now, *dates)]
    for rule in sorted(before.rules.keys() & after.rules.keys()):
        lowered = [found for found in (_lowered(rule, *pair, now) for pair in pairs) if found][:1]
        said += lowered or [found for found in (_lowered_at(rule, *pair, now) for pair in pairs) if found][:1]
    return (*said, *_unsigned(before, after))


def _lowered_at(rule: str, before: Judge, after: Judge, date: str, now: str) -> str:
    """Return in words that a rule's level is lowered on a date at the first path of an override where it is."""
    for path, tenant, glob in (*after.levels.places(rule), *before.levels.places(rule)):
        old, new = (judge.setting(rule, path, tenant).level for judge in (before, after))
        if ORDER.index(new) < ORDER.index(old):
            return f"{rule} is {new} instead of {old} for {glob}{f' from {date[:10]}' if date > now else ''}"
    return ""


def _unsigned(before: Judge, after: Judge) -> Iterator[str]:
    """Yield in words what no longer needs a signature, or a second one."""
    old, new = before.signatures, after.signatures
    if old.get("required") is True and new.get("required") is not True:
        yield "signatures are no longer required"
    for glob in sorted({*(old.get("coSigned") or ())} - {*(new.get("coSigned") or ())}):
        yield f"{glob} needs one signer instead of two"


def _lowered(rule: str, before: Judge, after: Judge, date: str, now: str) -> str:
    """Return in words that a rule's level is lowered on a date, for the first for whom it is; nothing where it is not."""
    for cohort in (*before.levels.cohorts(rule), *after.levels.cohorts(rule)):
        old, new = (judge.setting(rule, "", cohort.tenant, cohort).level for judge in (before, after))
        if ORDER.index(new) < ORDER.index(old):
            whom = f" for tenant {cohort.tenant}" if cohort.tenant else ""
            whom += "".join(f" with {key}={value}" for key, value in cohort.labels.items())
            return f"{rule} is {new} instead of {old}{whom}{f' from {date[:10]}' if date > now else ''}"
    return ""
