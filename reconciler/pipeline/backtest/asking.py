"""Asking object rules about versions of manifests: each once, many at a time, and what they said is remembered."""

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from reconciler.pipeline.backtest.versions import Version
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.policy.batches import BATCH_ITEMS
from reconciler.pipeline.policy.evaluate import ObjectItem, Policies
from reconciler.pipeline.remembered.replays import Replays

Found = tuple[Finding, ...]


class Asker:
    """The object rules of one judge that don't read the change, so that the same versions get the same answer wherever they come from."""

    def __init__(self, policies: Policies, known: Replays[Found], *, rules: Iterable[str], jobs: int) -> None:
        """Ask `rules` of those policies, in `jobs` requests at a time."""
        self.policies, self._known, self._jobs = policies, known, jobs
        self._reads_old = any(policies.judge.rules[name].reads_old for name in rules)

    def key(self, version: Version) -> str:
        """Return all that an answer depends on besides the judge, as a digest; the old version only where a rule reads that."""
        document = version.document
        old = msgspec.msgpack.encode(_old(version)) if self._reads_old else b""
        parts = [document.path.encode(errors="surrogateescape"), document.oid.encode(), b"%d" % document.index, old]
        sources = msgspec.msgpack.encode(sorted(version.sources.items()))
        return hashlib.sha256(b"".join(b"%d:%s" % (len(part), part) for part in (*parts, sources))).hexdigest()

    def ask(self, versions: Iterable[Version]) -> Mapping[str, Found]:
        """Return what is found in each version, by its key.

        Raises:
            RetryError: OPA does not come up any more.
        """
        wanted = {self.key(one): one for one in versions}
        answers = {key: found for key in wanted if (found := self._known.get(key)) is not None}
        left = [key for key in wanted if key not in answers]
        parts = [left[start : start + BATCH_ITEMS] for start in range(0, len(left), BATCH_ITEMS)]
        with ThreadPoolExecutor(self._jobs, thread_name_prefix="backtest") as pool:
            told = pool.map(lambda part: self._asked([wanted[key] for key in part]), parts)
            for part, said in zip(parts, told, strict=True):
                for key, one in zip(part, said, strict=True):
                    self._known.put(key, one, lasting=not any(finding.action == "error" for finding in one))
                    answers[key] = one
        return answers

    def _asked(self, versions: list[Version]) -> list[Found]:
        old = _old if self._reads_old else _nothing
        items = [ObjectItem(document=one.document, old=old(one), sources=one.sources) for one in versions]
        return [tuple(one) for one in self.policies.each(items, {})]


def _old(version: Version) -> Mapping[str, object] | None:
    return version.old.document.value if version.old is not None else None


def _nothing(_: Version) -> None:
    return None
