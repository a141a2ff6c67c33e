"""The year of Northgate's fleet repository, in the order in which it happened.

January    founding: three tenants, their hosts, components and fleets; first mistakes
February   more mistakes, each mended; branches that others merge
May        signatures are turned on; what nobody may is tried all the same
June       rules of their own: written, broken, mended, tightened
July       waivers: for a mirror, for nothing, in an incident
August     a fleet is deleted, a host renamed, a region relabelled, a change taken back, a freeze written down
October    requests that nobody has merged yet (branches of git), and the last day
"""

from dataclasses import dataclass
from pathlib import Path

from tests.history import autumn, founding, mistakes, routine, signing
from tests.history.scribe import Scribe

COMMITS = 300
"""On `main`, with what was merged into it."""
NOW = "2026-11-02T09:00:00Z"
"""A Monday, two days after the last commit."""


@dataclass(frozen=True, slots=True)
class Told:
    """The repository and the commits that tests speak of, by name."""

    root: Path
    marks: dict[str, str]


def told(root: Path) -> Told:
    """Write the repository, and check it out."""
    scribe = Scribe.begin(root)
    founding.begin(scribe)
    for mistake in (each for chapter in (mistakes.early, mistakes.later) for each in chapter(scribe)):
        mistakes.make(scribe, mistake)
        routine.days(scribe, 1 + scribe.count % 2)
    for title in ("faster-storefront", "quieter-bridge"):
        routine.merged(scribe, title, [routine.setting(scribe, scribe.count)], by=founding.REVIEWER)
    signing.turned_on(scribe)
    signing.rules(scribe)
    signing.waivers(scribe)
    autumn.summer(scribe)
    autumn.last_days(scribe, COMMITS)
    scribe.tag("main", scribe.main)
    scribe.repository.checkout("refs/heads/main")
    autumn.requests(scribe)
    return Told(root, scribe.marks)
