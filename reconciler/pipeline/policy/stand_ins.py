"""What new rules find until their authors say better: one small condition for each scope, with tests and examples that show it."""

from dataclasses import dataclass

from reconciler.pipeline.policy.metadata import Scope

KINDS = ("Component", "Fleet", "Agent", "AgentPool", "Tenant", "Role")
"""Kinds that a new object rule may be about; those of the judge itself are for policy owners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """Texts with `$$name` for what differs from rule to rule: `rule` and `test` are Rego, `fails` and `passes` examples."""

    title: str
    remedy: str
    asked: str
    rule: str
    test: str
    fails: str
    passes: str


PAGE = """\
# $id

$title.

Say here, for whoever meets this rule in a refused change, why it is kept and what it costs when it is not.

- Asked about $asked.
- What to do: $remedy.
- What it finds, and what it lets pass: [examples](examples).
"""

_HEAD = """\
# METADATA
# title: {title}
# description: |
#   Say why, in a sentence or two: whoever is refused by this rule reads it.
# schemas:
#   - input: schema.input
{typed}# custom:
#   scope: $scope
#   severity: audit
#   code: $code
#   remedy: {remedy}
{parameters}package $package

import data.ordain.result

"""

_OBJECT = """\
deny contains result.at(rego.metadata.chain(), ["metadata", "name"], message) if {
	startswith(input.object.metadata.name, input.parameters.prefix)
	message := sprintf("the name %s begins with %s", [input.object.metadata.name, input.parameters.prefix])
}
"""
_OBJECT_TEST = """\
package ${package}_test

import data.$package as tested

found(name) := result if {
	paths := {finding.path | some finding in tested.deny} with input as {
		"object": {"metadata": {"name": name}},
		"parameters": {"prefix": "tmp-"},
	}
	result := paths
}

test_a_name_with_the_prefix_is_found if found("tmp-web") == {["metadata", "name"]}

test_other_names_pass if found("web") == set()
"""
_SPECS = {
    "Component": "spec: {}",
    "Fleet": "spec:\n  selector: {matchLabels: {role: web}}\n  components: [{name: base}]",
    "Agent": "spec: {}",
    "AgentPool": "spec: {lease: 2h, maximum: 500}",
    "Tenant": "spec: {}",
    "Role": "spec: {role: viewer, subjects: [operator:ana]}",
}
_RELEASE = """\
deny contains result.at(rego.metadata.chain(), ["fleet", "spec", "selector"], message) if {
	members := count(input.members)
	members < input.parameters.least
	message := sprintf("the fleet has %d members, fewer than %d", [members, input.parameters.least])
}
"""
_RELEASE_TEST = """\
package ${package}_test

import data.$package as tested

found(members) := result if {
	paths := {finding.path | some finding in tested.deny} with input as {"members": members, "parameters": {"least": 1}}
	result := paths
}

test_a_fleet_without_members_is_found if found([]) == {["fleet", "spec", "selector"]}

test_a_fleet_with_one_passes if found([{"name": "web-01"}]) == set()
"""
_RELEASE_EXAMPLE = """\
fleet:
  apiVersion: ordain.dev/v1
  kind: Fleet
  metadata: {{name: web, tenant: $tenant}}
  spec:
    selector: {{matchLabels: {{role: web}}}}{mark}
    components: [{{name: base}}]
release: {{groups: {{}}}}
members: {members}
"""
_CHANGE = """\
deny contains result.at(rego.metadata.chain(), ["objects", "removed"], message) if {
	removed := count(input.change.objects.removed)
	removed > input.parameters.most
	message := sprintf("%d objects are removed at once, more than %d", [removed, input.parameters.most])
}
"""
_CHANGE_TEST = """\
package ${package}_test

import data.$package as tested

found(names) := result if {
	objects := {"added": [], "changed": [], "removed": [{"kind": "Agent", "name": name} | some name in names]}
	paths := {finding.path | some finding in tested.deny} with input as {
		"change": {"objects": objects},
		"parameters": {"most": 1},
	}
	result := paths
}

test_many_are_found if found(["a", "b"]) == {["objects", "removed"]}

test_one_passes if found(["a"]) == set()
"""
_REMOVED = "    - {{kind: Agent, tenant: shop, name: web-{number}, file: tenants/shop/agents.yaml}}{mark}\n"


def of(scope: Scope, kind: str) -> StandIn:
    """Return the stand-in of a scope, for objects of a kind."""
    return {"object": lambda: _object(kind), "release": _release, "change": _change}[scope]()


def _object(kind: str) -> StandIn:
    title, remedy = "Names do not begin with tmp-", "choose a name that can stay"
    typed = f"#   - input.object: schema.{kind.lower()}\n"
    return StandIn(
        title=title,
        remedy=remedy,
        asked=f"each {kind} that changes",
        rule=_HEAD.format(title=title, remedy=remedy, typed=typed, parameters="#   parameters:\n#     prefix: tmp-\n") + _OBJECT,
        test=_OBJECT_TEST,
        fails=_manifest(kind, "tmp-web", "  # deny"),
        passes=_manifest(kind, "web", ""),
    )


def _manifest(kind: str, name: str, mark: str) -> str:
    tenant = "" if kind == "Tenant" else "\n  tenant: $tenant"
    return f"apiVersion: ordain.dev/v1\nkind: {kind}\nmetadata:\n  name: {name}{mark}{tenant}\n{_SPECS[kind]}\n"


def _release() -> StandIn:
    title, remedy = "A fleet has members", "compare spec.selector with the labels of the tenant's agents"
    member = "\n  - {name: web-01, labels: {role: web}, group: all, pool: false}"
    return StandIn(
        title=title,
        remedy=remedy,
        asked="each fleet whose release changes",
        rule=_HEAD.format(title=title, remedy=remedy, typed="", parameters="#   parameters:\n#     least: 1\n") + _RELEASE,
        test=_RELEASE_TEST,
        fails=_RELEASE_EXAMPLE.format(mark="  # deny", members="[]"),
        passes=_RELEASE_EXAMPLE.format(mark="", members=member),
    )


def _change() -> StandIn:
    title, remedy = "Few objects go at once", "look at each of them; if they should go, remove them in several changes"
    first = [_REMOVED.format(number=1, mark=mark) for mark in ("  # deny", "")]
    begin = "objects:\n  added: []\n  changed: []\n  removed:\n"
    return StandIn(
        title=title,
        remedy=remedy,
        asked="each change as a whole",
        rule=_HEAD.format(title=title, remedy=remedy, typed="", parameters="#   parameters:\n#     most: 1\n") + _CHANGE,
        test=_CHANGE_TEST,
        fails=begin + first[0] + _REMOVED.format(number=2, mark=""),
        passes=begin + first[1],
    )
