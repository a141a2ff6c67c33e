"""g. A fleet of 10,000 listed agents: what its bundle and members weigh, and what one more host costs."""

import time
from collections.abc import Callable
from typing import Any

from agent.protocol import bundle, codec, membership
from benchmarks import fleets
from benchmarks.measuring import Sample
from benchmarks.report import Report
from reconciler.pipeline.acceptance.corpus import load
from reconciler.pipeline.compile.affected import affected
from reconciler.pipeline.compile.compiler import Compiled, compile_fleet
from reconciler.pipeline.compile.references import check
from reconciler.pipeline.manifests import parse_file
from reconciler.pipeline.tree import MemoryTree

AGENTS, TIMES = 10_000, 5
TENANT, FLEET = "tenant-00", fleets.fleet_name(0)


def measure(*, quick: bool) -> Report:
    """Measure with 10,000 agents, or with 300 where it has to be quick."""
    agents, times = (300, 1) if quick else (AGENTS, TIMES)
    report = Report(name="listed", title=f"a fleet of {agents} listed agents", quick=quick)
    planned = fleets.Plan(tenants=1, fleets=1, agents=agents, one_fleet=True)
    tree = MemoryTree({path: text.encode() for path, text in fleets.manifests(planned)})
    corpus = load(tree)
    compiled = compile_fleet(corpus.world, tree, (TENANT, FLEET))
    _sizes(report, compiled)
    report.add("compiling the fleet", _timed(lambda: compile_fleet(corpus.world, tree, (TENANT, FLEET)), times), "ms")
    path = fleets.agent_path(TENANT, agents)
    documents = parse_file(path, fleets.agent_text(TENANT, agents, 0).encode()).documents

    def one_more() -> Compiled:
        world = corpus.world.replace({path: documents})
        (key,) = affected(corpus.world, world, {path})
        assembled: dict[Any, Any] = {}
        check(world, tree, since=corpus.world, touched={path}, assembled=assembled)
        return compile_fleet(world, tree, key, assembly=assembled[key])

    report.add("one more host: index, check and compile", _timed(one_more, times), "ms")
    after = one_more()
    report.one(
        "one more host: bundle is the same", float(after.digest == compiled.digest), "1 if so", note="so hosts download members alone"
    )
    report.add("one more host: members and shards as bytes", _timed(lambda: _members(after), times), "ms")
    report.limits.append("every member is grouped, sorted and hashed again: about 10 µs a host; all shards are built, one of them is new")
    return report


def _timed(work: Callable[[], object], times: int) -> Sample:
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        found.append((time.perf_counter() - begin) * 1000)
    return Sample(tuple(found))


def _sizes(report: Report, compiled: Compiled) -> None:
    index, shards = _members(compiled)
    report.one("groups", float(len(compiled.bundle.groups)), "")
    report.one("bundle, as data.json", float(len(compiled.data)), "bytes")
    report.one("bundle, as packed", float(len(bundle.pack(compiled.data))), "bytes", note="nothing in it grows with the members")
    report.one("members document", float(len(index)), "bytes")
    if shards:
        sizes = Sample(tuple(float(len(shard)) for shard in shards))
        report.add(f"shards of members, {len(shards)} of them", sizes, "bytes", note="an agent reads one")


def _members(compiled: Compiled) -> tuple[bytes, list[bytes]]:
    document, shards = membership.split(compiled.fleet, 1, dict(compiled.pools), dict(compiled.agents))
    return codec.canonical(document), list(shards.values())
