"""What a rule's findings do, and its parameters: by the rule itself, then `ordain.yaml`, then its overrides.

Of the overrides that match a manifest and name a rule, only the last counts for that rule. Each states what it
changes: what it leaves out stays as `rules` has it, parameter by parameter. A level or stages that it states replace both.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from reconciler.pipeline.finding import Becomes, Finding, Place
from reconciler.pipeline.manifests import REPOSITORY_FILE
from reconciler.pipeline.policy import stages
from reconciler.pipeline.policy.metadata import Level, Rule, Standing
from reconciler.pipeline.policy.stages import Cohort, Stage

END_OF_TIME = "9999-12-31T23:59:59Z"
"""After every date that a stage can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What one rule does at one place: its level, its parameters, and whether standing verdicts block."""

    level: Level
    parameters: Mapping[str, Any]
    standing: Standing
    becomes: Becomes | None = None
    """The stricter level that it has from some day on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Override:
    paths: tuple[re.Pattern[str], ...] | None
    tenants: frozenset[str] | None
    rules: Mapping[str, Mapping[str, Any]]
    globs: tuple[str, ...] = ()

    def matches(self, path: str, tenant: str) -> bool:
        return (self.tenants is None or tenant in self.tenants) and (self.paths is None or any(each.fullmatch(path) for each in self.paths))


_STAGES = "begin with {level: audit}, say, and let days rise from stage to stage (docs/policies.md)"
_Holding = tuple[tuple[str, frozenset[Stage]], ...]
_Where = tuple[tuple[int, ...], str, _Holding]


class Levels:
    """What `ordain.yaml` makes of rules. Answers are kept, since most manifests of a repository get the same ones."""

    def __init__(
        self, rules: Mapping[str, Rule], stated: Mapping[str, Any], *, heard: Mapping[str, Level] | None = None, now: str = END_OF_TIME
    ) -> None:
        """Prepare the levels of `rules` at an instant, without one as they are once all stages have begun.

        With `heard`, those are at their level there whatever is stated, and all others off.
        """
        self._rules = rules
        self.now = now
        self._whole = stated
        self._heard = heard
        self._stated = _mapping(stated.get("rules"))
        self._overrides = tuple(_overrides(stated.get("overrides")))
        self._staged = {name: found for name in rules if (found := tuple(self._stages_of(name)))}
        self.dates = tuple(sorted({date for found in self._staged.values() for listed in found for date in stages.dates(listed)}))
        """The instants at which some level changes."""
        self._kept: dict[_Where, Mapping[str, Setting]] = {}

    def on(self, now: str) -> "Levels":
        """Return the levels at an instant: the very same where no level depends on it."""
        return self if not self._staged or now == self.now else Levels(self._rules, self._whole, heard=self._heard, now=now)

    @property
    def phase(self) -> str:
        """The last date that has come: between two dates, nothing changes."""
        return max((date for date in self.dates if date <= self.now), default="")

    def at(self, path: str, tenant: str, cohort: Cohort | None = None) -> Mapping[str, Setting]:
        """Return the settings of all rules that concern a manifest at `path` of `tenant` ("" for none), which belongs to a cohort.

        Equal places get the very same mapping, so callers may group by its identity.
        """
        matching = tuple(index for index, override in enumerate(self._overrides) if override.matches(path, tenant))
        holding = self._holding(cohort or Cohort(tenant=tenant)) if self._staged else ()
        key = (matching, tenant, holding)
        if key not in self._kept:
            held = dict(holding)
            concerned = {name: rule for name, rule in self._rules.items() if rule.tenant in ("", tenant)}
            self._kept[key] = {name: self._setting(rule, matching, held.get(name, frozenset())) for name, rule in concerned.items()}
        return self._kept[key]

    def anywhere(self, rule: str) -> bool:
        """Return whether there is any place at which a rule is on, at some time."""
        naming = [(index,) for index, override in enumerate(self._overrides) if rule in override.rules]
        on = frozenset(stage for listed in self._staged.get(rule, ()) for stage in listed if stage.level != "off")
        ever = Levels(self._rules, self._whole, heard=self._heard) if on and self.now != END_OF_TIME else self
        return any(ever._setting(self._rules[rule], matching, on).level != "off" for matching in [(), *naming])  # noqa: SLF001 - its own kind

    def cohorts(self, rule: str) -> Iterator[Cohort]:
        """Yield somebody of each cohort that `ordain.yaml` names for a rule, and somebody of none."""
        yield Cohort()
        for listed in self._staged.get(rule, ()):
            yield from stages.probes(listed)
        for override in self._overrides:
            if rule in override.rules and override.paths is None:
                yield from (Cohort(tenant=tenant) for tenant in sorted(override.tenants or ()))

    def places(self, rule: str) -> Iterator[tuple[str, str, str]]:
        """Yield, for each pattern of overrides of a rule: a path that it matches, a tenant for whom it counts, and the pattern."""
        for override in self._overrides:
            for glob in override.globs if rule in override.rules else ():
                yield re.sub(r"\*\*|[*?]", "x", glob), min(override.tenants or ("",)), glob

    def hearing(self, rules: Collection[str], level: Level = "audit") -> "Levels":
        """Return levels at which only `rules` are on, at `level`, with the parameters that they have here.

        One that has nothing to go by stays off.
        """
        return Levels(self._rules, self._whole, heard=dict.fromkeys(rules, level), now=self.now)

    def _stages_of(self, rule: str) -> Iterator[tuple[Stage, ...]]:
        stating = (self._stated, *(override.rules for override in self._overrides))
        return (found for each in stating if (found := stages.read(_mapping(each.get(rule)).get("stages"))))

    def _holding(self, cohort: Cohort) -> _Holding:
        """Return the stages that hold for somebody, by rule."""
        held = (
            (name, (stage for listed in found for stage in listed if stage.holds(name, cohort))) for name, found in self._staged.items()
        )
        return tuple((name, frozenset(each)) for name, each in held)

    def _setting(self, rule: Rule, matching: tuple[int, ...], holding: AbstractSet[Stage]) -> Setting:
        base = _mapping(self._stated.get(rule.id))
        last = next((self._overrides[index].rules[rule.id] for index in reversed(matching) if rule.id in self._overrides[index].rules), {})
        standing: Standing = last.get("standing", base.get("standing", rule.standing))
        parameters = {**rule.parameters, **_mapping(base.get("parameters")), **_mapping(last.get("parameters"))}
        level, later = self._level(rule, next((each for each in (last, base) if "level" in each or "stages" in each), {}), holding)
        if self._heard is not None:
            level, later = self._heard.get(rule.id, "off"), None
        if _idle(rule, parameters):
            level, later = "off", None
        return Setting(level=level, standing=standing, parameters=parameters, becomes=later)

    def _level(self, rule: Rule, stated: Mapping[str, Any], holding: AbstractSet[Stage]) -> tuple[Level, Becomes | None]:
        listed = [stage for stage in stages.read(stated.get("stages")) if stage in holding]
        if not listed:
            return stated.get("level", rule.severity), None
        return stages.level_at(listed, self.now), stages.becomes(listed, self.now)


def _idle(rule: Rule, parameters: Mapping[str, Any]) -> bool:
    return bool(rule.needs) and not any(parameters[name] for name in rule.needs)


def alone(rules: Mapping[str, Rule], rule: str, parameters: Mapping[str, Any]) -> Levels:
    """Return levels at which only `rule` is on, at deny."""
    off = {name: {"level": "off"} for name in rules}
    return Levels(rules, {"rules": {**off, rule: {"level": "deny", "parameters": dict(parameters)}}})


def faults(rules: Mapping[str, Rule], stated: Mapping[str, Any]) -> Iterator[Finding]:
    """Return what `ordain.yaml` says of rules, or of parameters, that there are not."""
    for pointer, named in _mentions(stated):
        for name, setting in named.items():
            place = Place(file=REPOSITORY_FILE, pointer=("spec", *pointer, name), at_key=True)
            rule = rules.get(name)
            if rule is None:
                yield _fault("manifest/unknown-rule", f"there is no rule {name}{_nearest(name, rules)}", place)
            else:
                yield from _parameter_faults(rule, _mapping(setting), place)
                yield from _stage_faults(name, _mapping(setting), place)


def _stage_faults(rule: str, setting: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    listed = stages.read(setting.get("stages"))
    if not listed:
        return
    pointer = (*place.pointer, "stages")
    if "level" in setting:
        message = f"{rule} has a level and stages, which say its levels"
        yield _fault("manifest/rule-stages", message, Place(file=place.file, pointer=(*place.pointer, "level"), at_key=True), _STAGES)
    if listed[0].begins or not listed[0].everywhere:
        message = f"the first stage of {rule} has a day or a cohort, so nothing says what holds until then and elsewhere"
        yield _fault("manifest/rule-stages", message, Place(file=place.file, pointer=(*pointer, 0)), _STAGES)
    for index, (before, after) in enumerate(pairwise(listed), 1):
        if after.begins < before.begins:
            late = after.begins[:10] or "one without a day"
            message = f"the stages of {rule} are not in the order of their days: {late} follows {before.begins[:10]}"
            yield _fault("manifest/rule-stages", message, Place(file=place.file, pointer=(*pointer, index)), _STAGES)


def _parameter_faults(rule: Rule, setting: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    for name, value in _mapping(setting.get("parameters")).items():
        where = Place(file=place.file, pointer=(*place.pointer, "parameters", name))
        if name not in rule.parameters:
            known = ", ".join(rule.parameters) or "none"
            yield _fault("manifest/unknown-parameter", f"rule {rule.id} has no parameter {name}; it has {known}", where)
        elif _type(value) != _type(rule.parameters[name]):
            message = f"parameter {name} of {rule.id} must be {_type(rule.parameters[name])}, as its default {rule.parameters[name]!r} is"
            yield _fault("manifest/rule-parameter", message, where)


def _mentions(stated: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    yield ("rules",), _mapping(stated.get("rules"))
    for index, override in enumerate(_list(stated.get("overrides"))):
        yield ("overrides", index, "rules"), _mapping(_mapping(override).get("rules"))


def _nearest(name: str, rules: Mapping[str, Rule]) -> str:
    near = difflib.get_close_matches(name, list(rules), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _fault(rule: str, message: str, place: Place, remedy: str = "`ordain policy list` names all rules with their parameters") -> Finding:
    return Finding(action="deny", rule=rule, code=rule, message=message, place=place, remedy=remedy)


def _overrides(stated: object) -> Iterator[_Override]:
    for each in _list(stated):
        override = _mapping(each)
        paths, tenants = override.get("paths"), override.get("tenants")
        yield _Override(
            paths=tuple(pattern(path) for path in _list(paths) if isinstance(path, str)) if paths is not None else None,
            tenants=frozenset(tenant for tenant in _list(tenants) if isinstance(tenant, str)) if tenants is not None else None,
            rules={name: _mapping(setting) for name, setting in _mapping(override.get("rules")).items()},
            globs=tuple(path for path in _list(paths) if isinstance(path, str)),
        )


def pattern(glob: str) -> re.Pattern[str]:
    """Return what a path pattern matches: `*` within a directory, `**` across, `**/` also nothing, `?` one character."""
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _type(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "an object")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
