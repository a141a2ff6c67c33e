"""The commands that check what is staged: each path that they name must be one that the same component brings, itself or by includes."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from agent.protocol import rendering
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.findings import across, did_you_mean
from reconciler.pipeline.compile.parts import Field, Part, above
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document


def check_staged(component: Document, parts: Mapping[Field, Iterable[Part]]) -> Iterator[Finding]:
    """Yield each `{staged:PATH}` of a component that none of these parts, its own and those of its includes, can stand for."""
    brought = {part.path: part for field in ("files", "artifacts") for part in parts[field] if part.item.get("absent") is not True}
    unpacked = frozenset(path for path, part in brought.items() if "unpack" in part.item)
    for index, item in manifest.items(component, "files"):
        for position, argument in enumerate(manifest.sequence(item.get("check"))):
            for match in rendering.STAGED.finditer(manifest.text(argument)):
                if match[1] is not None and not _is_brought(match[1], brought, unpacked):
                    message = (
                        f"{match[0]}: neither this component nor one that it includes brings that path; {did_you_mean(match[1], brought)}"
                    )
                    remedy = "name a path of this component, or include the component that brings it"
                    yield across("check", component, ("spec", "files", index, "check", position), message, remedy=remedy)


def _is_brought(path: str, brought: Collection[str], unpacked: Collection[str]) -> bool:
    return path in brought or (".." not in path.split("/") and any(directory in unpacked for directory in above(path)))
