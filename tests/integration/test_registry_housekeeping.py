"""The job that forgets what is old: as controls say, one copy at a time."""

import asyncio
import logging
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from agent.protocol.report import Event
from reconciler.control.housekeeping import Housekeeping
from reconciler.control.known import KnownTenants
from reconciler.control.registry import agents, audit, events, receipts
from reconciler.control.registry.batches import write_batches
from reconciler.control.registry.registry import Registry
from reconciler.control.registry.retention import Keep
from reconciler.publication.controls import Controls, Retention
from reconciler.publication.store import LocalStore
from tests.registry_cases import DAY, NOW, receipt, received


class _Known(KnownTenants):
    """Controls as they would be read, without their signatures."""

    def __init__(self, store: LocalStore, *controls: Controls) -> None:
        super().__init__(store)
        self._said_so = {one.tenant: one for one in controls}

    def tenants(self) -> list[str]:
        return sorted(self._said_so)

    def controls(self, tenant: str) -> Controls | None:
        return self._said_so.get(tenant)


def _job(registry: Registry, tmp_path: Path, *, at: datetime, holder: str = "one", events_kept: timedelta = timedelta()) -> Housekeeping:
    controls = Controls(tenant="shop", retention=Retention(events=int(events_kept.total_seconds())))
    known = _Known(LocalStore(tmp_path / "store"), controls)
    return Housekeeping(registry, known, keep=Keep(), holder=holder, now=lambda: at, first=0.01)


@pytest.fixture
def filled(registry: Registry) -> Registry:
    with registry.begin() as connection:
        agents.enrol(connection, "shop", "web-01", by="x", now=NOW)
        write_batches(connection, [received(receipts=[receipt()], events=[Event(kind="drift", at="x")])])
        audit.append(connection, "gone", who="x", action="y", at=NOW)
    return registry


def test_a_tenant_that_keeps_events_for_less_has_them_forgotten_sooner(
    filled: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert not _job(filled, tmp_path, at=NOW + 3 * DAY).once()
    assert len(filled.look(events.listed, events.Filter(tenant="shop")).items) == 1
    assert not _job(filled, tmp_path, at=NOW + 3 * DAY, events_kept=2 * DAY).once()
    assert filled.look(events.listed, events.Filter(tenant="shop")).items == ()
    assert "forgot what is old: 1 events" in caplog.text


def test_a_tenant_that_left_git_is_kept_by_the_installations_times(filled: Registry, tmp_path: Path) -> None:
    _job(filled, tmp_path, at=NOW + 2000 * DAY).once()
    assert filled.look(receipts.listed, receipts.Filter(tenant="shop")).items == ()
    assert filled.look(audit.listed, "gone").items == ()


def test_one_copy_at_a_time_is_at_it(filled: Registry, tmp_path: Path) -> None:
    _job(filled, tmp_path, at=NOW, holder="one").once()
    _job(filled, tmp_path, at=NOW + 2000 * DAY, holder="two").once()
    assert len(filled.look(receipts.listed, receipts.Filter(tenant="shop")).items) == 1


def test_where_chains_stand_is_noted_once_a_day(filled: Registry, tmp_path: Path) -> None:
    for at in (NOW, NOW + DAY / 2, NOW + DAY):
        _job(filled, tmp_path, at=at).once()
    noted = filled.look(audit.listed, audit.INSTALLATION).items
    assert [(one.action, one.at) for one in noted] == [(audit.ANCHOR, NOW + DAY), (audit.ANCHOR, NOW)]
    assert list(noted[0].detail) == ["gone"]


def test_it_goes_on_while_an_application_runs(filled: Registry, tmp_path: Path) -> None:
    async def run() -> None:
        app = web.Application()
        app.cleanup_ctx.append(_job(filled, tmp_path, at=NOW).running)
        runner = web.AppRunner(app)
        await runner.setup()
        while not (await filled.ask(audit.listed, audit.INSTALLATION)).items:  # noqa: ASYNC110 - nobody is told of an entry
            await asyncio.sleep(0.01)
        await runner.cleanup()

    asyncio.run(run())
