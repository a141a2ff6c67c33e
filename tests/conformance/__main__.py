"""Run the public TUF conformance suite against the agent's own client: `make test-conformance`.

The suite is not part of ordain and is not fetched by it; it must lie in `TUF_CONFORMANCE`, or in ordain's cache. Where it does not, nothing
is tested and that is said; under CI=true it is a failure.
"""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = "https://github.com/theupdateframework/tuf-conformance"
HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def find_suite() -> Path | None:
    """Return where the suite lies, None if it is not here."""
    cache = Path(os.environ.get("ORDAIN_CACHE") or Path.home() / ".cache" / "ordain")
    place = Path(os.environ.get("TUF_CONFORMANCE") or cache / "tuf-conformance").absolute()
    if (place / "tuf_conformance" / "conftest.py").is_file():
        return place
    sys.stderr.write(f"NOT TESTED: the TUF conformance suite is not in {place}. Get it from {SOURCE}, or set TUF_CONFORMANCE.\n")
    return None


def main() -> int:
    """Run the suite; return pytest's exit code."""
    suite = find_suite()
    if suite is None:
        return int(os.environ.get("CI") == "true")
    path = os.pathsep.join([str(HERE / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join([str(suite), str(ROOT)])}
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(suite), "-c", str(suite / "pyproject.toml"), *sys.argv[1:]]
    command = [sys.executable, "-m", "pytest", str(suite / "tuf_conformance"), "--entrypoint", str(HERE / "client.py"), *options]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
