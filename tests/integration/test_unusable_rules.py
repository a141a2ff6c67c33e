"""Rules that no OPA takes up in time hold up themselves and nothing else: the pipeline's own loop, with real git and OPA."""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.opa import server
from reconciler.pipeline import loop as pipeline_loop
from tests.acceptance_cases import repository
from tests.e2e.installation import Installation, until
from tests.pipeline_cases import following
from tests.policy_cases import finds, rego

pytestmark = pytest.mark.needs("opa", "git")
RULE = "policies/slow.rego"
COMPONENT = "tenants/shop/components/motd.yaml"


def test_rules_that_opa_can_not_take_up_wait_while_all_else_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = repository()
    installation = Installation(tmp_path)
    installation.commit(files)
    with following(installation) as loop:
        progress = loop.progress
        monkeypatch.setattr(pipeline_loop, "RETRY_AFTER", timedelta(seconds=1))
        with monkeypatch.context() as hasty:
            hasty.setattr(server, "START_SECONDS", 0.0)  # as if the rules took longer to compile than a start may
            content = files[COMPONENT].replace("content: ", "content: more ", 1)
            sha = installation.commit({RULE: rego("ordain.custom.slow.rule", finds("false")).decode(), COMPONENT: content})
            until("examined", lambda: progress.examined == sha and progress.ready)
            refused = installation.status()["refused"]
            assert [one["file"] for one in refused] == [RULE]
            assert "the new rules can't be taken up: OPA" in refused[0]["why"]
        until("taken up", lambda: progress.refused_files == 0)
