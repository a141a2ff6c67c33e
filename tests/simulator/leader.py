"""The publishing part of `ordain serve` as a process of its own, which a test stops, wakes and kills.

    python -m tests.simulator.leader DIRECTORY REGISTRY HOLDER

Over the store and keys in DIRECTORY, under a lease in the registry; what it logs goes to stderr.
"""

import logging
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path

from reconciler.control import loop
from reconciler.control.conduct.conductor import Conductor
from reconciler.control.leading import RegistryLeases
from reconciler.control.registry.registry import Registry
from tests.publication_cases import make_zone

LEASE = timedelta(seconds=3)
"""Half of what a lease lasts otherwise: waiting for its end is most of what tests of it do."""


def main(directory: str, registry_url: str, holder: str) -> None:
    """Publish until SIGTERM, while it leads."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    zone, registry = make_zone(Path(directory)), Registry.open(registry_url)
    try:
        leases = RegistryLeases(registry=registry, holder=holder, ttl=LEASE)
        conductor = Conductor(registry, zone.store)
        settings = loop.ControlSettings(
            store=zone.store, keys=zone.rings.control, holder=holder, leases=leases, lease=LEASE, conductor=conductor, poll=0.2
        )
        loop.run(settings, stop)
    finally:
        registry.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
