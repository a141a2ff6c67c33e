"""Rule by rule: how many objects it is asked about, how many of those conform, and what its findings do there."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from reconciler.pipeline.compile.world import World
from reconciler.pipeline.compliance.census import Mark, worst
from reconciler.pipeline.compliance.shape import RuleRow, State, share_of
from reconciler.pipeline.finding import ObjectName
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.policy.judge import Judge, Rule
from reconciler.pipeline.policy.levels import Setting
from reconciler.pipeline.policy.stages import cohort_of


def level_of(judge: Judge, rule: str, document: Document) -> str:
    """Return what a rule does for a manifest, today."""
    return settings_of(judge, document)[rule].level if rule in judge.rules else "deny"


def settings_of(judge: Judge, document: Document) -> Mapping[str, Setting]:
    """Return what each rule does for a manifest, today."""
    tenant = document.name.tenant if document.name else ""
    return judge.settings(document.path, tenant, cohort_of(document.name, document.labels))


def rules(judge: Judge, world: World, marks: Iterable[Mark]) -> Iterator[RuleRow]:
    """Yield each rule that is on somewhere, but for those about changes: they say nothing about what is there."""
    marked = tuple(marks)
    counted, states = Counter(mark.rule for mark in marked), _states(marked)
    asked: dict[str, list[ObjectName]] = {}
    levels: dict[str, set[str]] = {}
    for document in world.documents():
        for name, setting in settings_of(judge, document).items() if document.name is not None else ():
            if document.name is not None and setting.level != "off" and _is_about(judge.rules[name], document):
                asked.setdefault(name, []).append(document.name)
                levels.setdefault(name, set()).add(setting.level)
    for name, objects in sorted(asked.items()):
        rule = judge.rules[name]
        level = " or ".join(one for one in ("deny", "warn", "audit") if one in levels[name])
        share = share_of(states.get((name, one), "conforms") for one in objects)
        yield RuleRow(id=name, title=rule.title, level=level, scope=rule.scope, objects=share, findings=counted[name])


def _states(marks: Iterable[Mark]) -> dict[tuple[str, ObjectName], State]:
    """Return what each rule makes of each object that it finds something on."""
    found: dict[tuple[str, ObjectName], State] = {}
    for mark in marks:
        key = (mark.rule, mark.object)
        found[key] = worst((found.get(key, "conforms"), "waived" if mark.waived else "standing"))
    return found


def _is_about(rule: Rule, document: Document) -> bool:
    if rule.scope == "release":
        return document.kind == "Fleet"
    return rule.scope == "object" and (not rule.kinds or document.kind in rule.kinds)
