"""What a release wants of packages against what is there, and fixes against a package manager that is a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.errors import RefusedError
from agent.protocol.state import Package, Repository
from agent.providers.packages import apt, dnf
from agent.providers.packages.compare import Changes, Installed, compare
from agent.providers.packages.install import package_fixes
from agent.providers.packages.patience import REFRESH_SECONDS, Remembered

NAMES = ("a", "b", "c")
VERSIONS = ("1", "2", "3")


@dataclass
class Model:
    """A package manager in memory: what is installed, held, half done, and what repositories have."""

    there: dict[str, str]
    held: set[str]
    broken: set[str]
    has: dict[str, set[str]]
    name: Literal["apt", "dnf"] = "apt"
    changed: list[str] = field(default_factory=list)

    def installed(self) -> dict[str, Installed]:
        return {
            name: Installed(
                versions=frozenset({version}),
                shown=version,
                held=name in self.held,
                broken="half-configured" if name in self.broken else "",
            )
            for name, version in self.there.items()
        }

    def known(self, names: Sequence[str]) -> dict[str, frozenset[str]]:
        return {name: frozenset(self.has[name]) for name in names if self.has.get(name)}

    def refresh(self) -> None:
        self.changed.append("refresh")

    def trouble(self) -> str:
        return ", ".join(sorted(self.broken))

    def repair(self) -> None:
        self.broken.clear()

    def require_holds(self) -> None: ...

    def rehearse(self, changes: Changes) -> None: ...

    def change(self, changes: Changes) -> None:
        self.changed += changes.names
        for package in changes.install:
            self.there[package.name] = package.version or max(self.has[package.name])
            self.broken.discard(package.name)
        for name in changes.remove:
            del self.there[name]
            self.held.discard(name)
        self.held = (self.held | set(changes.hold)) - set(changes.release)

    def repository_files(self, repository: Repository) -> dict[str, bytes]:
        raise NotImplementedError

    def try_repository(self, repository: Repository) -> None:
        raise NotImplementedError

    def repository_changed(self) -> None:
        raise NotImplementedError


names = st.sampled_from(NAMES)
versions = st.sampled_from(VERSIONS)
models = st.dictionaries(names, versions).flatmap(
    lambda there: st.builds(
        Model,
        there=st.just(there),
        held=st.sets(st.sampled_from(sorted(there)) if there else st.nothing()),
        broken=st.sets(st.sampled_from(sorted(there)) if there else st.nothing()),
        has=st.dictionaries(names, st.sets(versions, min_size=1)),
    )
)
wanted_packages = st.lists(
    st.builds(
        Package,
        name=names,
        version=st.none() | versions,
        absent=st.booleans(),
        hold=st.booleans(),
        if_gone=st.sampled_from(("refuse", "keep")),
    ),
    max_size=3,
    unique_by=lambda package: package.name,
)


@given(models, wanted_packages, wanted_packages)
def test_after_the_fixes_are_carried_out_there_are_none(model: Model, wanted: list[Package], former: list[Package]) -> None:
    before = dict(model.there)
    try:
        fixes = package_fixes(wanted, former, manager=model, remembered=Remembered(), sources_change=False, refresh=True)
    except RefusedError:
        assert model.there == before
        return
    for fix in fixes:
        fix.carry_out()
    assert package_fixes(wanted, former, manager=model, remembered=Remembered(), sources_change=False, refresh=True) == []
    assert package_fixes(wanted, former, manager=model, remembered=Remembered(), sources_change=False, refresh=False) == []
    for name in set(NAMES) - {package.name for package in wanted}:
        assert model.there.get(name) == before.get(name)
    for package in wanted:
        assert (package.name in model.there) is not package.absent
        assert package.absent or package.version in (None, model.there[package.name]) or package.if_gone == "keep"


def test_lists_are_fetched_for_a_version_that_is_gone_but_not_with_each_poll() -> None:
    clock, model = [0.0], Model({}, set(), set(), {})
    remembered = Remembered(clock=lambda: clock[0])
    for moment in (0.0, 30.0, REFRESH_SECONDS - 1, REFRESH_SECONDS):
        clock[0] = moment
        with pytest.raises(RefusedError, match="no repository of this host has a 1"):
            package_fixes([Package(name="a", version="1")], [], manager=model, remembered=remembered, sources_change=False, refresh=True)
    assert model.changed == ["refresh", "refresh"]


def there(version: str, *, held: bool = False, broken: str = "") -> Installed:
    return Installed(versions=frozenset({version}), shown=version, held=held, broken=broken)


@pytest.mark.parametrize(
    ("package", "found", "why"),
    [
        (Package(name="a"), {}, ["package a is missing"]),
        (Package(name="a", version="2"), {}, ["package a is missing, 2 is wanted"]),
        (Package(name="a", version="2"), {"a": there("1")}, ["package a is at 1, 2 is wanted"]),
        (Package(name="a"), {"a": there("1")}, []),
        (Package(name="a"), {"a": there("1", broken="half-configured")}, ["package a is half-configured"]),
        (Package(name="a", absent=True), {"a": there("1")}, ["package a is there at 1, and should not be"]),
        (Package(name="a", absent=True, hold=True), {}, []),
        (Package(name="a", hold=True), {"a": there("1")}, ["package a is not held at its version"]),
        (Package(name="a"), {"a": there("1", held=True)}, []),
    ],
)
def test_each_difference_is_a_sentence(package: Package, found: dict[str, Installed], why: list[str]) -> None:
    assert list(compare([package], [], found).why.values()) == why


def test_a_hold_goes_with_the_release_that_set_it_and_one_of_the_hosts_owner_stays() -> None:
    held = {"a": there("1", held=True), "b": there("1", held=True)}
    assert compare([Package(name="a"), Package(name="b")], [Package(name="a", hold=True)], held).release == ("a",)
    assert compare([], [Package(name="a", hold=True), Package(name="c", hold=True)], held).release == ("a",)


@pytest.mark.parametrize("name", ["", "-y", "--purge", "a-", "a b", "a*", "a|b", "../a", "a=1", "a/stable", "~nfoo", "a\n", "a" * 129])
def test_a_name_that_could_be_an_option_or_a_pattern_is_refused(name: str) -> None:
    with pytest.raises(RefusedError, match="is no name of a package"):
        package_fixes(
            [Package(name=name)], [], manager=Model({}, set(), set(), {}), remembered=Remembered(), sources_change=False, refresh=True
        )


@pytest.mark.parametrize("version", ["", "-1", "1 2", "1*", "1;2", "$(id)", "1\n"])
def test_a_version_that_could_be_anything_else_is_refused(version: str) -> None:
    with pytest.raises(RefusedError, match="is no version"):
        package_fixes(
            [Package(name="a", version=version)],
            [],
            manager=Model({}, set(), set(), {}),
            remembered=Remembered(),
            sources_change=False,
            refresh=True,
        )


def test_what_dpkg_prints_is_read_with_holds_and_half_done_states() -> None:
    printed = (
        "nginx\tamd64\tinstall\tok\tinstalled\t1.22.1-9\n"
        "libc6\tamd64\thold\tok\tinstalled\t2.36-9\n"
        "libc6\ti386\tinstall\tok\tinstalled\t2.36-8\n"
        "man-db\tamd64\tinstall\tok\ttriggers-pending\t2.11\n"
        "half\tall\tinstall\tok\thalf-configured\t1.0\n"
        "worse\tall\tinstall\treinstreq\thalf-installed\t1.0\n"
        "left\tall\tdeinstall\tok\tconfig-files\t1.0\n"
    )
    found = apt.read_installed(printed)
    assert set(found) == {
        *("nginx", "nginx:amd64", "libc6", "libc6:amd64", "libc6:i386", "man-db", "man-db:amd64"),
        *("half", "half:all", "worse", "worse:all"),
    }
    assert found["libc6"] == there("2.36-9", held=True)
    assert found["libc6:i386"] == there("2.36-8")
    assert [found[name].broken for name in ("nginx", "man-db", "half", "worse")] == ["", "", "half-configured", "half-installed, reinstreq"]


def test_what_rpm_prints_is_read_with_every_spelling_of_a_version_and_all_versions_of_one_package() -> None:
    printed = "kernel\t0\t6.1\t1\tx86_64\nkernel\t0\t6.2\t1\tx86_64\nnginx\t1\t1.20\t3.el9\tx86_64\n"
    found = dnf.read_installed(printed, frozenset({"nginx"}))
    assert found["nginx"].versions == {"1.20", "1.20-3.el9", "1:1.20", "1:1.20-3.el9"}
    assert found["nginx:x86_64"].held
    assert {"6.1", "6.2-1"} <= found["kernel"].versions
