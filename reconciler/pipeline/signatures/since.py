"""Since when signatures are on: whoever adopts them has a history that nobody signed, and nobody has to.

It is the oldest commit that says so which counts. Whoever turns signatures off and on again hides nothing by that.
"""

from dataclasses import dataclass
from itertools import islice

import pygit2
from pygit2.enums import ObjectType, SortMode

from reconciler.pipeline.acceptance.corpus import read_content, repository_of
from reconciler.pipeline.manifests import REPOSITORY_FILE, Layout
from reconciler.pipeline.signatures.switch import is_required
from reconciler.pipeline.source.directories import TREE, find_node, read_object, tree_of

CHAIN_LIMIT = 10_000
"""First parents that are asked, as many as commits that are looked at: where none of them turned signatures on, all of them are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """The commit that turned signatures on, the last that nobody must have signed; `earlier` are in its history, itself included."""

    commit: str
    earlier: int


def turned_on(repository: pygit2.Repository, head: str, prefix: str = "") -> Since | None:
    """Return which first parent of `head` turned signatures on; None where none did within CHAIN_LIMIT.

    `prefix` leads from the root of the git repository to the fleet repository. Raises `MalformedError` for a damaged object.
    """
    on: dict[str, bool] = {}
    found = ""
    walker = repository.walk(head, SortMode.TOPOLOGICAL)
    walker.simplify_first_parent()
    last = ""
    for commit in islice(walker, CHAIN_LIMIT):
        last = str(commit.id)
        node = find_node(repository, tree_of(repository, last), prefix + REPOSITORY_FILE)
        if node is None or node[0] == TREE:
            continue
        if node[1] not in on:
            file = read_content(REPOSITORY_FILE, read_object(repository, node[1], ObjectType.BLOB), Layout())
            on[node[1]] = is_required(repository_of(file))
        found = last if on[node[1]] else found
    whole = bool(last) and not repository[last].peel(pygit2.Commit).parent_ids
    if not found or (found == last and not whole):
        return None
    return Since(commit=found, earlier=sum(1 for _ in repository.walk(found, SortMode.NONE)))
