"""One change that a convergent provider would make.

Packages, users, groups, kernel settings and blocks in shared files are not restored by a rollback: what they change can't be
kept beside the old and switched. So they only ever go forward: observe, compare, fix, and look again. Observing and
comparing changes nothing, so a list of fixes serves a plan and a look for drift as well as an apply.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """What is not as it should be, and what puts it right."""

    provider: str
    """As manifests name it: `packages`, `packageRepositories`, `users`, `groups`, `kernelSettings`, `hostFiles`."""
    resource: str
    """`package/nginx`; several that can only change together stand here as `package/nginx, package/nginx-common`."""
    why: tuple[str, ...]
    """What differs, one sentence for each, for plans, accounts and events of drift."""
    carry_out: Callable[[], None]
    """Puts it right; doing so twice is the same as once.

    Raises:
        RefusedError: the host says no, and trying again won't change that.
        RetryError: it can't be done now. What was changed so far stays changed.
    """
