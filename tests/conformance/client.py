#!/usr/bin/env python3
"""The agent's own TUF client behind the command line that the public conformance suite speaks.

Fetcher, bounds, floors, order of verification and cache are the agent's. Only one thing is switched off: the suite's repositories
name no tenant and no fleet, and don't say when they were signed.
https://github.com/theupdateframework/tuf-conformance/blob/main/CLIENT-CLI.md
"""

import argparse
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from tuf.api.metadata import Timestamp

from agent.fetching.binding import Binding
from agent.fetching.fetcher import Http
from agent.protocol import codec
from agent.protocol.errors import OrdainError
from agent.trust.trusted import Places, Trusted


class Unbound(Binding):
    """Any repository's metadata will do."""

    def check(self, data: bytes, *, role: str, what: str) -> None:
        """Take all bytes."""

    def signed_at(self, stamp: Timestamp) -> int:
        """Know of no time."""
        del stamp
        return 0


def clock() -> datetime:
    """Return the time that the suite wants it to be."""
    faked = os.environ.get("ORDAIN_CONFORMANCE_CLOCK")
    return datetime.fromisoformat(faked) if faked else datetime.now(UTC)


def init(metadata: Path, root: Path) -> None:
    """Take a root as the anchor, as an agent is given one with `--root-metadata`."""
    shutil.copyfile(root, metadata.parent / "bootstrap.json")
    shutil.copyfile(root, metadata / "root.json")


def refreshed(arguments: argparse.Namespace) -> Trusted:
    """Do what an agent does when it polls."""
    own = arguments.metadata_dir.parent
    places = Places(
        metadata_url=arguments.metadata_url,
        targets_url=arguments.target_base_url or "",
        metadata=arguments.metadata_dir,
        floors=own / "floors.json",
        cache=own / "cache",
    )
    bootstrap = (own / "bootstrap.json").read_bytes()
    trusted = Trusted(name="suite", places=places, http=Http(), bootstrap=bootstrap, binding=Unbound(tenant="suite", fleet="suite"))
    trusted.refresh(clock())
    trusted.keep()
    return trusted


def download(trusted: Trusted, arguments: argparse.Namespace) -> None:
    """Read targets one after the other, and put each where the suite looks."""
    for name in arguments.target_name:
        data = trusted.read(name, limit=codec.DOCUMENT_LIMIT)
        place = arguments.target_dir / quote(name, "")
        if not place.exists() or place.read_bytes() != data:
            place.write_bytes(data)


def main() -> int:
    """Run one command of the suite; return 1 if the agent would refuse it or could not do it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--metadata-url")
    parser.add_argument("--target-name", action="append")
    parser.add_argument("--target-dir", type=Path)
    parser.add_argument("--target-base-url")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    arguments = parser.parse_args()
    try:
        if arguments.command == "init":
            init(arguments.metadata_dir, arguments.root)
            return 0
        trusted = refreshed(arguments)
        if arguments.command == "download":
            download(trusted, arguments)
    except OrdainError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
