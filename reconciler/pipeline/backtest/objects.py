"""Replaying object rules: the fast way, which asks about each version of a manifest once, over many steps at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import pygit2

from reconciler.pipeline.acceptance.excusing import as_found
from reconciler.pipeline.acceptance.judgement import Judges, Key, key_of
from reconciler.pipeline.backtest.asking import Asker, Found
from reconciler.pipeline.backtest.history import Step
from reconciler.pipeline.backtest.shape import Brought
from reconciler.pipeline.backtest.versions import Looked, Version, Versions
from reconciler.pipeline.waivers import excuse

STEPS_AT_ONCE = 100
"""Steps whose versions are asked about together: enough to fill requests, few enough to tell how far it is."""


def replay(repository: pygit2.Repository, steps: Sequence[Step], asker: Asker) -> Iterator[tuple[Step, Brought]]:
    """Yield each step with what it brought that the versions before did not have.

    Raises:
        MalformedError: an object of the repository is missing or damaged.
        RetryError: OPA does not come up any more.
    """
    versions = Versions(repository)
    judges = Judges(before=asker.policies)
    for start in range(0, len(steps), STEPS_AT_ONCE):
        looked = [versions.look(step) for step in steps[start : start + STEPS_AT_ONCE]]
        answers = asker.ask(one for each in looked for version in each.versions for one in _both(version))
        for each in looked:
            yield each.step, _brought(each, judges, answers, asker.key)


def _both(version: Version) -> Iterator[Version]:
    yield version
    if version.old is not None:
        yield _before(version.old)


def _before(old: Version) -> Version:
    """Return a former version as one that did not change: so acceptance asks about it to see what stood."""
    return replace(old, old=old)


def _brought(looked: Looked, judges: Judges, answers: Mapping[str, Found], key: Callable[[Version], str]) -> Brought:
    new = []
    for version in looked.versions:
        stood = _keys(_before(version.old), answers, key) if version.old is not None else set()
        found = answers[key(version)]
        new += [(one, version) for one in found if one.action == "error" or key_of(one, version.document.value) not in stood]
    shown = [as_found(one, judges, version.document if one.place.file == version.document.path else None) for one, version in new]
    by = excuse(shown, looked.waivers, looked.step.info.time).by
    left = [one for number, (one, _) in enumerate(new) if number not in by]
    return Brought(findings=tuple(left), waived=len(by), unread=looked.unread)


def _keys(version: Version, answers: Mapping[str, Found], key: Callable[[Version], str]) -> set[Key]:
    return {key_of(one, version.document.value) for one in answers[key(version)]}
