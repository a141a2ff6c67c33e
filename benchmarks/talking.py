"""Agents that talk: news reach all that wait, reports are acknowledged after they are kept, all come back after an outage, bytes at rest.

The server is a process of its own (`talk_server`: the parts of `ordain serve`), and so are the agents, in Go (`agents/`): each has its own
key, certificate and connection. Figures of the clock are of both on the same cores.
"""

import statistics
import time

from benchmarks.measuring import Sample
from benchmarks.report import Report
from benchmarks.talk_zone import TENANT, Told, Zone, can_play, made_zone, memory_of, name_of, played, playing, processor_of, serving, until

SMALL, MANY, QUICK = 1000, 10_000, 20
"""Agents by default, with `--full`, and to see that it works."""
PROBES = 10
"""Agents that ask for a file ten times a second, to see how others fare meanwhile."""
NEWS = 5
"""Publications that are timed."""
AGAIN = 5.0
"""Seconds between them, in which all agents that were told ask again."""
JITTER = 60.0
"""Seconds over which agents spread coming back."""
RATE = 1_000_000
"""Reports and watches of a tenant in a second that its quota allows: they come faster than from any fleet, and no limit is measured."""
BEATS = 25
"""Reports of each agent in a turn: fewer than it may send at once."""
TURNS = 3
NEWS_GOAL, MEMORY_GOAL, OTHERS_GOAL, RATIO_GOAL, HOME_GOAL, STORM_GOAL = 1.0, 1000.0, 100.0, 0.5, 90.0, 1.5
WATCH_EVERY, HEARTBEAT_EVERY, RENEWALS, NEW_TIMESTAMPS = 52.25, 60.0, 2, 24
"""At rest: seconds of a watch on average, seconds between heartbeats, new certificates a day, timestamps that are signed anew each day."""


def news(*, quick: bool, full: bool = False) -> Report:
    """Publish, until all connected agents hold the new bytes."""
    count = QUICK if quick else MANY if full else SMALL
    report = Report(name="news", title=f"news reach {count} agents that wait", quick=quick)
    if not can_play():
        return _left_out(report)
    probes = ("-probes", str(PROBES))
    with (
        made_zone({TENANT: count}, rate=RATE) as zone,
        serving(zone) as server,
        playing(zone, *probes) as told,
        playing(zone, "-mode", "probes", *probes) as asked,
    ):
        waiting = count - PROBES
        until(lambda: len(told.lines["H"]) >= waiting, f"{waiting} agents connected")
        report.one("connected and waiting", waiting, "agents")
        report.one("memory of the server, all waiting", memory_of(server, "VmRSS"), "MB")
        worst, used = [], []
        for number in range(NEWS):
            time.sleep(AGAIN)
            before = processor_of(server)
            worst.append(_one_publication(report, zone, told, waiting, number))
            used.append((processor_of(server) - before) / waiting * 1000)
        report.add("processor of the server, publishing and probes included", Sample(tuple(used)), "ms an agent")
        most = memory_of(server, "VmHWM")
        report.one("memory of the server, at most", most, "MB")
        slowest = max(worst)
        others = _meanwhile(told, asked)
        report.add("another request meanwhile, P95", others, "ms")
        report.goal("all agents hold the news, P95", "< 1 s", f"{slowest:.2f} s at worst", reached=slowest < NEWS_GOAL)
        report.goal("memory of the server", "≤ 1,000 MB", f"{most:.0f} MB", reached=most <= MEMORY_GOAL)
        report.goal("other requests' P95 meanwhile", "< 100 ms", f"{others.median:.0f} ms", reached=others.median < OTHERS_GOAL)
    report.limits.append(
        "asyncio, TLS and HTTP in Python, some 100 us an agent; the agents, in Go, share its cores, and go after it (nice)"
    )
    return report


def checkins(*, quick: bool) -> Report:
    """Time reports that are acknowledged after they are kept, beside a bare handler behind the same TLS, turn by turn."""
    count, turns = (QUICK, 1) if quick else (SMALL * 2, TURNS)
    report = Report(name="checkins", title=f"reports of {count} agents that don't pause", quick=quick)
    if not can_play():
        return _left_out(report)
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    used: dict[str, list[float]] = {"ours": [], "bare": []}
    slow: list[float] = []
    with made_zone({TENANT: count}, rate=RATE) as zone:
        for _ in range(turns):
            for kind, port in (("ours", zone.port), ("bare", zone.bare_port)):
                with serving(zone) as server:
                    before = processor_of(server)
                    told = played(zone, "-mode", "beats", "-each", str(BEATS), port=port)
                    spent = processor_of(server) - before
                requests, took = told.lines["R"][0]
                used[kind].append(spent / int(requests) * 1e6)
                rates[kind].append(int(requests) / int(took) * 1e9)
                if kind == "ours":
                    slow.append(Sample(tuple(int(one[0]) / 1e6 for one in told.lines["L"])).percentile(0.5))
    ours, bare = Sample(tuple(rates["ours"])), Sample(tuple(rates["bare"]))
    report.add("acknowledged after they are kept", ours, "reports a second")
    report.add("a bare handler", bare, "requests a second")
    report.add("from a report to its acknowledgement, P50", Sample(tuple(slow)), "ms")
    for kind, what in (("ours", "processor of the server, a report"), ("bare", "processor of the bare handler, a request")):
        report.add(what, Sample(tuple(used[kind])), "us", note="handshakes included")
    ratio, share = ours.median / bare.median, statistics.median(used["bare"]) / statistics.median(used["ours"])
    report.one("of a bare handler", ratio, "of its rate")
    report.one("of a bare handler, by the processor", share, "of its rate")
    report.goal("of a bare handler", "≥ 0.5", f"{ratio:.2f}", reached=ratio >= RATIO_GOAL)
    report.goal("of a bare handler, by the processor", "≥ 0.5", f"{share:.2f}", reached=share >= RATIO_GOAL)
    report.limits.append("checks of who asks, strict reading, and a registry that is on the disk before the answer, on the same cores")
    return report


def return_home(*, quick: bool, full: bool = False) -> Report:
    """Have all agents come back after an outage, spread over a minute, each with a receipt that must not be lost."""
    count = QUICK if quick else MANY if full else SMALL
    jitter = 2.0 if quick else JITTER
    report = Report(name="outage", title=f"{count} agents come back after an outage", quick=quick)
    if not can_play():
        return _left_out(report)
    with made_zone({TENANT: count}) as zone:
        with playing(zone, "-jitter", str(jitter)) as told:
            with serving(zone, kill=True):
                until(lambda: len(told.lines["B"]) >= count, f"{count} agents connected")
            first = len(told.lines["B"])
            time.sleep(1)
            begin = time.time_ns()
            with serving(zone) as server:
                until(lambda: len({one[0] for one in told.lines["B"][first:]}) >= count, f"{count} agents back")
                most, used, failed = memory_of(server, "VmHWM"), processor_of(server), len(told.lines["E"]) - count
            back = _first_times(told.lines["B"][first:])
        kept = zone.receipts()
        acknowledged = {(name_of(int(agent)), int(receipt)) for agent, _, receipt in told.lines["B"]}
    took = Sample(tuple((at - begin) / 1e9 for at in back))
    lost = len(acknowledged - kept)
    report.add("from the server's start until an agent is back", took, "s")
    report.one("the same, P95", took.percentile(0.95), "s")
    report.one("failed tries", failed, "")
    report.one("receipts that were acknowledged and are lost", lost, "")
    report.one("memory of the server, at most", most, "MB")
    report.one("processor of the server", used, "s")
    report.goal("all are back", "≤ 90 s", f"{took.most:.0f} s", reached=took.most <= HOME_GOAL)
    report.goal("receipts lost", "0", str(lost), reached=lost == 0)
    report.limits.append(f"agents spread coming back over {jitter:.0f} s; a handshake costs either side about a millisecond")
    return report


def at_rest(*, quick: bool) -> Report:
    """Count what an agent costs on the wire in a day in which nothing happens, TLS included, TCP and IP not."""
    report = Report(name="wire", title="an agent's bytes in a day without news", quick=quick)
    if not can_play():
        return _left_out(report)
    with made_zone({TENANT: 2}) as zone, serving(zone):
        until(lambda: zone.version() > 0, "the fleet published")
        told = played(zone, "-mode", "rest")
    exchanges = [(int(sent), int(received)) for sent, received in told.lines["W"]]
    handshake, first, watches, beats = exchanges[0], exchanges[1], exchanges[2:7], exchanges[7:]
    for what, found in (("a watch without news", watches), ("a heartbeat", beats)):
        report.add(f"{what}, sent", Sample(tuple(float(one[0]) for one in found)), "bytes")
        report.add(f"{what}, received", Sample(tuple(float(one[1]) for one in found)), "bytes")
    report.one("a handshake, both ways", sum(handshake), "bytes")
    report.one("an answer with news of a fleet", first[1], "bytes")
    watch, beat = (Sample(tuple(float(sum(one)) for one in found)).median for found in (watches, beats))
    day = 86_400 / WATCH_EVERY * watch + 86_400 / HEARTBEAT_EVERY * beat + RENEWALS * sum(handshake) + NEW_TIMESTAMPS * sum(first)
    report.one("a day", day / 1e6, "MB", note="a watch each 52 s, a heartbeat each minute, 24 new timestamps, 2 handshakes")
    report.limits.append("headers are more than half of each exchange, TLS records 29 bytes each; `reporting.every` halves what it doubles")
    return report


def storm(*, quick: bool) -> Report:
    """Compare how long a tenant's reports take while another's agents storm with how long they take without, in one run."""
    count, stormy, each = (5, 5, 5) if quick else (40, 300, BEATS)
    report = Report(name="storm", title=f"reports of one tenant while {stormy} agents of another don't pause", quick=quick)
    if not can_play():
        return _left_out(report)
    times: dict[str, list[float]] = {"calm": [], "storm": []}
    answered = 0
    with made_zone({TENANT: count, "lab": stormy}) as zone:
        for _ in range(1 if quick else TURNS):
            with serving(zone):
                times["calm"].append(_gentle(zone, each))
            with serving(zone), playing(zone, "-mode", "storm", tenant="lab") as told:
                until(lambda told=told: len(told.lines["S"]) >= stormy, "the storm")  # type: ignore[misc]
                times["storm"].append(_gentle(zone, each))
                answered += len(told.lines["S"])
    calm, rough = Sample(tuple(times["calm"])), Sample(tuple(times["storm"]))
    report.add("a report without the other's storm, P95", calm, "ms")
    report.add("a report during the storm, P95", rough, "ms")
    report.one("reports of the storm that were answered", answered, "")
    ratio = rough.median / calm.median
    report.one("during the storm", ratio, "of the time without")
    report.goal("during the storm", "≤ 1.5", f"{ratio:.2f}", reached=ratio <= STORM_GOAL)
    report.limits.append("a fifth of a second passes between commits; a refusal is held for a second, which slows who doesn't pause")
    return report


def _left_out(report: Report) -> Report:
    """Return a report that says why there is nothing in it."""
    report.limits.append("left out: the agents of this benchmark are in Go, which is not here")
    return report


def _gentle(zone: Zone, each: int) -> float:
    """Return the P95 in milliseconds of reports that come now and then."""
    told = played(zone, "-mode", "gentle", "-each", str(each))
    return Sample(tuple(int(one[0]) / 1e6 for one in told.lines["L"])).percentile(0.95)


def _one_publication(report: Report, zone: Zone, told: Told, waiting: int, number: int) -> float:
    """Time one publication; return the seconds until 95 % of the agents held it."""
    before, known = zone.version(), len(told.lines["H"])
    zone.approve(f"content {number}\n")
    until(lambda: zone.version() > before, "published")
    moved = zone.timestamp.stat().st_mtime_ns
    version = zone.version()

    def all_hold() -> bool:
        heard = told.lines["H"]
        return len(heard) - known >= waiting and sum(int(one[2]) >= version for one in heard[known:]) >= waiting

    until(all_hold, f"{waiting} agents hold version {version}")
    times = Sample(tuple((int(at) - moved) / 1e9 for _, at, held in told.lines["H"][known:] if int(held) >= version))
    report.add("published, until an agent holds the new bytes", times, "s", note=f"P95 {times.percentile(0.95):.3f}")
    return times.percentile(0.95)


def _meanwhile(told: Told, asked: Told) -> Sample:
    """Return the P95 of the probes' milliseconds while each of the publications was handed out."""
    arrivals: dict[int, list[int]] = {}
    for _, at, version in told.lines["H"]:
        arrivals.setdefault(int(version), []).append(int(at))
    spans = [(min(times), max(times)) for _, times in sorted(arrivals.items())[1:]]
    probes = [(int(at), int(took) / 1e6) for at, took in asked.lines["P"]]
    found = []
    for begin, end in spans:
        during = [took for at, took in probes if begin - 100_000_000 <= at <= end]
        if during:
            found.append(Sample(tuple(during)).percentile(0.95))
    return Sample(tuple(found))


def _first_times(back: list[list[str]]) -> list[int]:
    first: dict[str, int] = {}
    for agent, at, _ in back:
        first.setdefault(agent, int(at))
    return list(first.values())
