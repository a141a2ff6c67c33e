"""Which OPA judges: one whose version is known to agree with the rule library, wherever it comes from.

Looked for in this order: the setting (`ORDAIN_OPA`), PATH when the version fits, ordain's own cache. Where none is,
the pinned version is downloaded once into the cache, if its SHA-256 is known (see `download`), else built there by Go.
`python -m reconciler.opa.program` prints the path.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agent.protocol import durable
from agent.protocol.errors import InputError, OrdainError, RetryError

if TYPE_CHECKING:
    from reconciler.opa.download import Offer

PINNED = "1.22.2"
"""The version that is built, and that capabilities.json was made from."""
FITTING = "1.22."
"""Versions that may judge: built-ins and their meaning change between minor versions, not within one."""
MODULE = "github.com/open-policy-agent/opa"
BUILD_SECONDS = 900
"""A build takes 30 to 60 s on two cores; the rest is for slow disks and module downloads."""
COLLECT_AT = "400"
"""Go collects garbage when the heap has grown fivefold (GOGC, in percent): measured, a third less CPU for some 50 MB."""
VERSION_SECONDS = 10
"""`opa version` answers in 20 ms; a file of that name that does not is not OPA."""


def find_opa(setting: Path | None = None, *, url: str = "", sha256: str = "", environment: Mapping[str, str] | None = None) -> Path:
    """Return the path of an OPA that may judge; download or build it where there is none.

    `url` and `sha256` say where it can be had instead of its release page, and what it must be (`ORDAIN_OPA_URL`,
    `ORDAIN_OPA_SHA256` where they are empty).

    Raises:
        InputError: the one that was set is not there, or has a version that does not fit; or an address or a sum is none.
        RetryError: none was found, and neither download nor build worked; the message says what to do.
    """
    environment = os.environ if environment is None else environment
    found = present(setting, environment=environment)
    if found is not None:
        return found
    from reconciler.opa.download import offered  # noqa: PLC0415 - it imports what downloads

    offer = offered(PINNED, url=url or environment.get("ORDAIN_OPA_URL", ""), sha256=sha256 or environment.get("ORDAIN_OPA_SHA256", ""))
    return _made(_cached(environment), offer, environment)


def present(setting: Path | None = None, *, environment: Mapping[str, str]) -> Path | None:
    """Return the path of an OPA that may judge and is there already, None where there is none; raise `InputError` as `find_opa`."""
    stated = setting or environment.get("ORDAIN_OPA")
    if stated:
        return _stated(Path(stated))
    found = shutil.which("opa", path=environment.get("PATH"))
    if found and fits(version(Path(found))):
        return Path(found)
    cached = _cached(environment)
    return cached if fits(version(cached)) else None


def _cached(environment: Mapping[str, str]) -> Path:
    return cache_directory(environment) / "opa" / PINNED / "opa"


def version(opa: Path) -> str | None:
    """Return what `opa version` says of itself, None where it is missing or no OPA."""
    try:
        answer = subprocess.run([str(opa), "version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    words = (answer.stdout.splitlines() or [""])[0].split()
    return words[1] if words[:1] == ["Version:"] and len(words) > 1 else None


def fits(found: str | None) -> bool:
    """Return whether an OPA of this version may judge."""
    return found is not None and found.startswith(FITTING)


def hurried() -> dict[str, str]:
    """Return the environment for an OPA that ends by itself: this process's, where nobody set it otherwise with less garbage collected."""
    return {"GOGC": COLLECT_AT, **os.environ}


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Return where ordain keeps what it can make again: `$ORDAIN_CACHE`, else ~/.cache/ordain."""
    stated = environment.get("ORDAIN_CACHE")
    home = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or Path.home()) / ".cache"
    return Path(stated) if stated else Path(home) / "ordain"


def _stated(opa: Path) -> Path:
    found = version(opa)
    if fits(found):
        return opa.absolute()
    is_what = "is no OPA that can be run here" if found is None else f"has version {found}"
    message = f"{opa} (ORDAIN_OPA, or the setting) {is_what}; name an OPA {FITTING}x, or leave the setting out"
    raise InputError(message)


def _made(target: Path, offer: "Offer", environment: Mapping[str, str]) -> Path:
    try:
        durable.make_directory(target.parent)
        with _alone(target.parent / ".lock"):
            if not fits(version(target)):  # another process may have made it while this one waited
                _make(target, offer, environment)
    except OSError as error:
        message = f"can't put OPA into {target.parent}: {error}; free or change the cache (ORDAIN_CACHE), or name an OPA in ORDAIN_OPA"
        raise RetryError(message) from error
    return target


def _make(target: Path, offer: "Offer", environment: Mapping[str, str]) -> None:
    why = _downloaded(target, offer)
    if not why:
        return
    go = shutil.which("go", path=environment.get("PATH"))
    if go is None:
        message = f"no OPA {FITTING}x on PATH, {why}, and no Go to build it: install either, or name one in ORDAIN_OPA"
        raise RetryError(message)
    _say(f"{why}; building OPA {PINNED} into {target.parent}, once: this takes about a minute")
    _build(go, target, environment)


def _downloaded(target: Path, offer: "Offer") -> str:
    """Download OPA; return why that was not done, nothing if it was."""
    from reconciler.opa.download import download, this_platform  # noqa: PLC0415

    if not offer.sha256 or not offer.url:
        return f"no download, since no SHA-256 of OPA {PINNED} for {this_platform()} is known here (ORDAIN_OPA_SHA256 names one)"
    _say(f"downloading OPA {PINNED} from {offer.url}, once")
    try:
        download(offer, target)
    except RetryError as error:
        return f"no download ({error})"
    found = version(target)
    if fits(found):
        return ""
    target.unlink()
    return f"no download ({offer.url} has the sum that was set, but is {f'OPA {found}' if found else 'no OPA that runs here'})"


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201 - a person waits for it, and this comes before logs are set up


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(go: str, target: Path, environment: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as directory:
        wanted = {**environment, "GOBIN": directory, "CGO_ENABLED": "0"}
        command = [go, "install", "-trimpath", "-ldflags=-s -w", f"{MODULE}@v{PINNED}"]
        try:
            subprocess.run(command, env=wanted, capture_output=True, text=True, timeout=BUILD_SECONDS, check=True)
        except subprocess.CalledProcessError as error:
            message = f"building OPA failed: {_last_line(error.stderr)}; try again, or name an OPA {FITTING}x in ORDAIN_OPA"
            raise RetryError(message) from error
        except subprocess.TimeoutExpired as error:
            message = f"building OPA took more than {BUILD_SECONDS} s; try again, or name an OPA {FITTING}x in ORDAIN_OPA"
            raise RetryError(message) from error
        (Path(directory) / "opa").replace(target)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


def main() -> int:
    """Print the path of OPA, making it first where that is needed; `make setup` uses this."""
    try:
        print(find_opa())  # noqa: T201 - this is its output
    except OrdainError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
