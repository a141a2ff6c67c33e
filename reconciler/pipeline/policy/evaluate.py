"""Asking OPA, in batches; whatever goes wrong is an error that names the rule and the object."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reconciler.pipeline.finding import Finding, ObjectName, Place, Pointer
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.policy.judge import Judge


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectItem:
    """A manifest to judge and its accepted version (None when it is new)."""

    document: Document
    old: Mapping[str, Any] | None = None


class Policies:
    """A judge with an OPA of its own behind it. Use as a context manager; safe to call from several threads."""

    def __init__(self, judge: Judge, *, opa: Path, seconds: float = 2.0) -> None:
        """Prepare to ask `judge`; `seconds` is the longest that OPA may take over one batch."""
        self.judge = judge

    def __enter__(self) -> Self:
        """Start OPA; raise `RetryError` if it does not come up."""
        raise NotImplementedError

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop OPA."""

    def objects(self, items: Sequence[ObjectItem], change: Mapping[str, Any]) -> list[Finding]:
        """Return what the object rules say of `items`, in order of items; `Finding.scope` is "object"."""
        raise NotImplementedError

    def release(  # noqa: PLR0913 - all of it belongs to one question
        self,
        compiled_input: Mapping[str, Any],
        *,
        old: Mapping[str, Any] | None,
        change: Mapping[str, Any],
        fleet: str,
        place_of: Callable[[Pointer], Place],
        object: ObjectName,  # noqa: A002 - the word that findings use
    ) -> list[Finding]:
        """Return what the release rules say of one fleet's release; `fleets` of each finding is `{fleet}`.

        `compiled_input` is `Compiled.release_input()`, `old` that of the accepted release. `place_of` maps a pointer
        into it (from "fleet", "release" or "members") to the manifest that it came from.
        """
        raise NotImplementedError

    def change(self, change: Mapping[str, Any], place: Place) -> list[Finding]:
        """Return what the change rules say of a change; `place` is where findings are shown (`ordain.yaml`, say).

        A rule's path ["objects", "removed", i] or ["commits", …] stays in the pointer's place as the file it names, where it names one.
        """
        raise NotImplementedError
