"""Who keeps a name that two files claim: the one that had it before the change. The newcomer is told, and is refused alone."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from reconciler.pipeline.compile.findings import merged
from reconciler.pipeline.compile.index import claim_of, space_of
from reconciler.pipeline.compile.placement import duplicate
from reconciler.pipeline.compile.world import World, home_of
from reconciler.pipeline.finding import Finding, ObjectName
from reconciler.pipeline.manifests import Document

DUPLICATE = "manifest/duplicate"


def claimed_elsewhere(world: World, document: Document) -> bool:
    """Return whether another file of a world claims the name of a document."""
    space, name = claim_of(document)
    home = home_of(document.path, world.layout)
    return home is not None and any(one.path != document.path for one in world.tenant(home).of(space).get(name, ()))


def laid_on_newcomers(found: Iterable[Finding], before: World, world: World) -> list[Finding]:
    """Return findings across documents, those of names that are claimed twice laid on the files that did not have them `before`.

    Where all files of a name are as new as the others, or none is, all of them stay to blame.
    """
    kept: list[Finding] = []
    again: list[Finding] = []
    for finding in found:
        told = list(_told_anew(finding, before, world))
        again += told
        kept += [] if told else [finding]
    return merged([*kept, *again]) if again else kept


def _told_anew(finding: Finding, before: World, world: World) -> Iterator[Finding]:
    home = home_of(finding.place.file, world.layout)
    if finding.rule != DUPLICATE or finding.scope != "across" or finding.object is None or home is None:
        return
    held = {one.path for one in _claimants(before, home, finding.object)}
    found = _claimants(world, home, finding.object)
    first, newcomers = ([one for one in found if (one.path in held) is had] for had in (True, False))
    if first and newcomers:
        files = {one.path for one in newcomers}
        for one in duplicate((first[0], *newcomers)):
            yield replace(one, fleets=finding.fleets, also=tuple(place for place in one.also if place.file in files))


def _claimants(world: World, home: str, name: ObjectName) -> tuple[Document, ...]:
    return world.tenant(home).of(space_of(name.kind)).get(name.name, ())
