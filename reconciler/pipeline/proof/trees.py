"""Accepted trees: each is its head's, but for refused files, which are as they were accepted before; and what it compiles to."""

import pygit2
from pygit2.enums import ObjectType

from agent.protocol import codec
from agent.protocol.errors import MalformedError, OrdainError
from reconciler.pipeline import accepted
from reconciler.pipeline.audit import DecisionRecord, record_key
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.objects import import_objects
from reconciler.pipeline.proof.records import Chain
from reconciler.pipeline.proof.shape import Finding, Misfit, Report, Unproven
from reconciler.pipeline.source import CommitTree, write_tree
from reconciler.pipeline.source.directories import SUBMODULE, changes_between, read_object, tree_of
from reconciler.pipeline.trail.trees import Trees
from reconciler.publication.store import Store


def bring_objects(store: Store, repository: pygit2.Repository, chain: Chain, report: Report) -> None:
    """Put the git objects that the store keeps into a scratch repository, each archive checked against its name."""
    wanted = {accepted.object_key(digest) for digest in chain.state.objects} if chain.state is not None else set()
    there = set(store.list(accepted.OBJECTS))
    for key in sorted(wanted | there):
        report.take("object archive", _bring(store, repository, key))


def _bring(store: Store, repository: pygit2.Repository, key: str) -> list[Finding]:
    data = store.get(key)
    if data is None:
        return [Misfit(what="object archive", where=key, expected="an archive that accepted state names", found="nothing")]
    if accepted.object_key(codec.sha256(data)) != key:
        return [
            Misfit(what="object archive", where=key, expected="the archive with this digest", found=f"one with digest {codec.sha256(data)}")
        ]
    try:
        import_objects(repository, data)
    except MalformedError as error:
        return [Misfit(what="object archive", where=key, expected="an archive of git objects", found=str(error))]
    return []


def check_trees(trees: Trees, chain: Chain, first: int, report: Report) -> dict[int, DecisionRecord]:
    """Check each decision's tree against its head, and what it released against what the tree compiles to.

    Return the records, by number, whose trees are not known to be wrong: what bundles may be held to.
    """
    fit = dict(chain.by_number)
    for record in chain.records:
        if record.sequence < first:
            continue
        found = _tree(trees, record, chain)
        if report.take("accepted tree", found):
            for one in record.releases:
                report.take("release", _release(trees, record, (one.tenant, one.fleet), one.digest))
        elif any(isinstance(one, Misfit) for one in found):
            del fit[record.sequence]
    return fit


def _tree(trees: Trees, record: DecisionRecord, chain: Chain) -> list[Finding]:
    where, before, repository = f"{record_key(record.sequence)}, head {record.head}", chain.before(record), trees.repository
    if not trees.has(record.head):
        return [Unproven(what="accepted tree", where=where, why="the commit is in neither the repository nor the store")]
    if record.refused and record.previous is not None and before is None:
        return [
            Unproven(what="accepted tree", where=where, why="the record before it, whose versions of refused files stay, does not hold")
        ]
    try:
        head = CommitTree(repository, record.head).oid
        if trees.was_given(record.head):
            _read_all(trees.given or repository, before.head if before is not None and trees.was_given(before.head) else None, record.head)
        former = before.tree if before is not None else None
        refused = {path: accepted.blob_of(repository, former, path) for path in record.refused}
        made = write_tree(repository, head, refused) if refused else head
    except (MalformedError, pygit2.GitError, KeyError) as error:
        if not trees.was_given(record.head):
            return [Unproven(what="accepted tree", where=where, why="the store keeps what was accepted of this commit, not all of it")]
        return [Misfit(what="git object", where=where, expected="the objects of this commit", found=str(error))]
    if made == record.tree:
        return []
    expected = f"tree {made}: that of the head" + (f" with {len(refused)} refused files as they were accepted" if refused else "")
    return [Misfit(what="accepted tree", where=where, expected=expected, found=f"tree {record.tree}")]


def _read_all(repository: pygit2.Repository, old: str | None, new: str) -> None:
    """Read what differs between two commits; raise `MalformedError` for an object that is missing, or not what its name says."""
    before = tree_of(repository, old) if old is not None else None
    for _, _, node in changes_between(repository, before, tree_of(repository, new)):
        if node is not None and node[0] != SUBMODULE:
            read_object(repository, node[1], ObjectType.BLOB)


def _release(trees: Trees, record: DecisionRecord, fleet: FleetKey, digest: str) -> list[Finding]:
    return compiles_to(trees, record, fleet, digest, what="release", where=f"{'/'.join(fleet)} in {record_key(record.sequence)}")


def compiles_to(trees: Trees, record: DecisionRecord, fleet: FleetKey, digest: str, *, what: str, where: str) -> list[Finding]:
    """Return what is wrong with saying that a fleet's bundle of this digest is from a decision's tree."""
    try:
        made = trees.digest(record.tree, fleet)
    except KeyError:
        return [Misfit(what=what, where=where, expected=f"a fleet {'/'.join(fleet)} at commit {record.head}", found="none there")]
    except OrdainError as error:
        return [Misfit(what=what, where=where, expected=f"what commit {record.head} compiles to", found=str(error))]
    if made == digest:
        return []
    return [
        Misfit(what=what, where=where, expected=f"bundle sha256:{made}, which commit {record.head} compiles to", found=f"sha256:{digest}")
    ]
