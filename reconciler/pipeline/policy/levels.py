"""What a rule's findings do, and its parameters: by the rule itself, then `ordain.yaml`, then its overrides.

Of the overrides that match a manifest and name a rule, only the last counts for that rule. Each states what it
changes: what it leaves out stays as `rules` has it, parameter by parameter.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.manifests import REPOSITORY_FILE
from reconciler.pipeline.policy.metadata import Level, Rule, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What one rule does at one place: its level, its parameters, and whether standing verdicts block."""

    level: Level
    parameters: Mapping[str, Any]
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Override:
    paths: tuple[re.Pattern[str], ...] | None
    tenants: frozenset[str] | None
    rules: Mapping[str, Mapping[str, Any]]

    def matches(self, path: str, tenant: str) -> bool:
        return (self.tenants is None or tenant in self.tenants) and (self.paths is None or any(each.fullmatch(path) for each in self.paths))


class Levels:
    """What `ordain.yaml` makes of rules. Answers are kept, since most manifests of a repository get the same ones."""

    def __init__(self, rules: Mapping[str, Rule], stated: Mapping[str, Any], *, heard: Collection[str] | None = None) -> None:
        """Prepare the levels of `rules`; with `heard`, those are at audit whatever is stated, and all others off."""
        self._rules = rules
        self._whole = stated
        self._heard = heard
        self._stated = _mapping(stated.get("rules"))
        self._overrides = tuple(_overrides(stated.get("overrides")))
        self._kept: dict[tuple[tuple[int, ...], str], Mapping[str, Setting]] = {}

    def at(self, path: str, tenant: str) -> Mapping[str, Setting]:
        """Return the settings of all rules that concern a manifest at `path` of `tenant` ("" for none).

        Equal places get the very same mapping, so callers may group by its identity.
        """
        matching = tuple(index for index, override in enumerate(self._overrides) if override.matches(path, tenant))
        key = (matching, tenant)
        if key not in self._kept:
            self._kept[key] = {name: self._setting(rule, matching) for name, rule in self._rules.items() if rule.tenant in ("", tenant)}
        return self._kept[key]

    def anywhere(self, rule: str) -> bool:
        """Return whether there is any place at which a rule is on."""
        naming = [(index,) for index, override in enumerate(self._overrides) if rule in override.rules]
        return any(self._setting(self._rules[rule], matching).level != "off" for matching in [(), *naming])

    def hearing(self, rules: Collection[str]) -> "Levels":
        """Return levels at which only `rules` are on, at audit, with the parameters that they have here.

        One that has nothing to go by stays off.
        """
        return Levels(self._rules, self._whole, heard=rules)

    def _setting(self, rule: Rule, matching: tuple[int, ...]) -> Setting:
        base = _mapping(self._stated.get(rule.id))
        last = next((self._overrides[index].rules[rule.id] for index in reversed(matching) if rule.id in self._overrides[index].rules), {})
        merged = {"level": rule.severity, "standing": rule.standing, **base, **last}
        parameters = {**rule.parameters, **_mapping(base.get("parameters")), **_mapping(last.get("parameters"))}
        idle = bool(rule.needs) and not any(parameters[name] for name in rule.needs)
        level: Level = merged["level"]
        if self._heard is not None:
            level = "audit" if rule.id in self._heard else "off"
        return Setting(level="off" if idle else level, standing=merged["standing"], parameters=parameters)


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


def _fault(rule: str, message: str, place: Place) -> Finding:
    remedy = "`ordain policy list` names all rules with their parameters"
    return Finding(action="deny", rule=rule, code=rule, message=message, place=place, remedy=remedy)


def _overrides(stated: object) -> Iterator[_Override]:
    for each in _list(stated):
        override = _mapping(each)
        paths, tenants = override.get("paths"), override.get("tenants")
        yield _Override(
            paths=tuple(pattern(path) for path in _list(paths) if isinstance(path, str)) if paths is not None else None,
            tenants=frozenset(tenant for tenant in _list(tenants) if isinstance(tenant, str)) if tenants is not None else None,
            rules={name: _mapping(setting) for name, setting in _mapping(override.get("rules")).items()},
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
