"""Who gave a reference its value: the layer of parameters that counts, the host's labels, the host itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.protocol.rendering import agent_fields
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.expansion import Instance
from reconciler.pipeline.compile.manifest import Layer
from reconciler.pipeline.compile.parameters import declared, layered, written
from reconciler.pipeline.finding import Place
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.why.address import Host
from reconciler.pipeline.why.landing import Landing
from reconciler.pipeline.why.rendered import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One who gives a reference a value: `how` in words (`by default`, `by variant region=eu`), and where that stands."""

    how: str
    value: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A reference with the value that counts, and the weaker ones that it overrules, the strongest of those first."""

    reference: Reference
    given: Given
    overruled: tuple[Given, ...] = ()


def values_of(landing: Landing, host: Host, mode: Layer | None) -> dict[str, dict[str, str]]:
    """Return the values of all references in texts of a landing, by space; the agent's are left out where a pool alone is asked about."""
    instance = landing.assembly.instances[landing.part.ref]
    parameters = {name: written(value) for name, value in layered(instance, _layers(landing, mode)).items()}
    return {"labels": dict(landing.group.labels), "parameters": parameters, "agent": _fields(landing, host)}


def _fields(landing: Landing, host: Host) -> dict[str, str]:
    pool = landing.assembly.membership.documents[host.member].kind == "AgentPool"
    return agent_fields(host.tenant, host.agent) if not pool or "/" in host.agent else {}


def _layers(landing: Landing, mode: Layer | None) -> tuple[Layer, ...]:
    return (*landing.group.variants, mode) if mode is not None else landing.group.variants


def trace(reference: Reference, landing: Landing, host: Host, mode: Layer | None) -> Value:
    """Return who gives a reference its value on a host; the reference must have one."""
    space, name = reference
    member = landing.assembly.membership.documents[host.member]
    if space == "labels":
        how = f"a label of {_named(member)}"
        return Value(
            reference=reference, given=Given(how=how, value=landing.group.labels[name], place=member.place("metadata", "labels", name))
        )
    if space == "agent":
        how = "filled in on the host, which is " + _named(member)
        value = _fields(landing, host).get(name, "")
        return Value(reference=reference, given=Given(how=how, value=value, place=member.place("metadata", "name")))
    instance = landing.assembly.instances[landing.part.ref]
    *weaker, counts = _given(instance, name, landing.assembly.fleet, _layers(landing, mode))
    return Value(reference=reference, given=counts, overruled=tuple(reversed(weaker)))


def _given(instance: Instance, name: str, fleet: Document, layers: Sequence[Layer]) -> Iterator[Given]:
    """Yield all who give a parameter a value, the weakest first, as `layered` puts them together."""
    declaration = declared(instance.document)[name]
    if "default" in declaration:
        place = instance.document.place("spec", "parameters", name, "default")
        yield Given(how=f"the default of {_named(instance.document)}", value=written(declaration["default"]), place=place)
    if name in instance.given:
        place = instance.user.place(*instance.use.pointer, "parameters", name)
        yield Given(how=f"given by {_named(instance.user)}", value=written(instance.given[name]), place=place)
    for layer in layers:
        values = layer.parameters.get(instance.ref, {})
        if name in values:
            place = fleet.place(*layer.pointer, "parameters", instance.ref, name)
            yield Given(how=f"given by {_layer(layer)} of {_named(fleet)}", value=written(values[name]), place=place)


def _layer(layer: Layer) -> str:
    if layer.name:
        return f"the mode {layer.name}"
    return "the variant " + (", ".join(f"{key}={value}" for key, value in layer.selector.items()) or "for all")


def _named(document: Document) -> str:
    return str(document.name) if document.name is not None else document.path


def modes_of(landing: Landing) -> tuple[Layer, ...]:
    """Return the modes of a landing's fleet, in rising priority."""
    return manifest.modes(landing.assembly.fleet)
