"""Where OPA is looked for, with programs that say of themselves which version they are."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.protocol.errors import InputError, RetryError
from reconciler.opa.program import PINNED, find_opa, fits, version


def program(path: Path, says: str, *, name: str = "opa") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    file = path / name
    file.write_text(f"#!/bin/sh\n{says}\n")
    file.chmod(0o755)
    return file


def opa(path: Path, number: str = PINNED) -> Path:
    return program(path, f"echo 'Version: {number}'")


def around(tmp_path: Path, path: Path | None = None) -> dict[str, str]:
    return {"PATH": f"{path or tmp_path / 'empty'}:/nowhere", "ORDAIN_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)}


def test_the_setting_comes_first(tmp_path: Path) -> None:
    stated, other = opa(tmp_path / "a"), opa(tmp_path / "b")
    assert find_opa(stated, environment=around(tmp_path, other.parent)) == stated
    assert find_opa(None, environment=around(tmp_path, other.parent) | {"ORDAIN_OPA": str(stated)}) == stated


def test_a_setting_that_does_not_fit_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    good = opa(tmp_path / "good")
    with pytest.raises(InputError, match=r"has version 0\.70\.0"):
        find_opa(opa(tmp_path / "old", "0.70.0"), environment=around(tmp_path, good.parent))
    with pytest.raises(InputError, match="is no OPA that can be run here"):
        find_opa(tmp_path / "absent", environment=around(tmp_path, good.parent))


def test_path_comes_before_the_cache_if_its_version_fits(tmp_path: Path) -> None:
    cached = opa(tmp_path / "cache" / "opa" / PINNED)
    fitting = opa(tmp_path / "fits", "1.22.9")
    assert find_opa(environment=around(tmp_path, fitting.parent)) == fitting
    assert find_opa(environment=around(tmp_path, opa(tmp_path / "old", "1.21.0").parent)) == cached


def test_it_is_built_once_into_the_cache_and_found_there_afterwards(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = f'echo built >> {tmp_path}/log; printf "#!/bin/sh\\necho Version: {PINNED}\\n" > "$GOBIN/opa"; chmod +x "$GOBIN/opa"'
    go = program(tmp_path / "go", f"export PATH=/usr/bin:/bin; {script}", name="go")
    environment = around(tmp_path, go.parent)
    first = find_opa(environment=environment)
    assert first == tmp_path / "cache" / "opa" / PINNED / "opa"
    assert find_opa(environment=environment) == first
    assert (tmp_path / "log").read_text() == "built\n"
    printed = capfd.readouterr()
    assert "building OPA" in printed.err
    assert printed.out == ""


def test_two_that_need_it_at_once_build_it_once(tmp_path: Path) -> None:
    script = (
        f'echo built >> {tmp_path}/log; sleep 0.3; printf "#!/bin/sh\\necho Version: {PINNED}\\n" > "$GOBIN/opa"; chmod +x "$GOBIN/opa"'
    )
    go = program(tmp_path / "go", f"export PATH=/usr/bin:/bin; {script}", name="go")
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: find_opa(environment=around(tmp_path, go.parent)), range(4)))
    assert len(found) == 1
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_failed_build_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    go = program(tmp_path / "go", "echo 'no network' >&2; exit 1", name="go")
    with pytest.raises(RetryError, match="no network"):
        find_opa(environment=around(tmp_path, go.parent))
    assert not (tmp_path / "cache" / "opa" / PINNED / "opa").exists()


def test_without_opa_and_go_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RetryError, match="install either, or name one in ORDAIN_OPA"):
        find_opa(environment=around(tmp_path))


def test_only_versions_of_the_pinned_minor_fit() -> None:
    assert fits("1.22.0")
    assert not any(fits(number) for number in ("1.220.0", "1.2.22", "1.23.0", None, ""))


def test_what_is_no_opa_has_no_version(tmp_path: Path) -> None:
    assert version(program(tmp_path / "x", "echo hello")) is None
    assert version(program(tmp_path / "y", "exit 3")) is None
    assert version(tmp_path / "absent") is None
