"""What is said of a judge that is loosened: by a level, by an override of paths, and by what no longer needs a signature."""

from collections.abc import Callable
from functools import cache

import pytest

from reconciler.opa.program import find_opa
from reconciler.pipeline.acceptance import appoint, loosened
from reconciler.pipeline.policy.judge import Judge
from reconciler.pipeline.tree import MemoryTree
from tests.acceptance_cases import REPOSITORY
from tests.signing_cases import CO_SIGNED, REQUIRED

pytestmark = pytest.mark.needs("opa")
RULE = "host-safety/world-writable"
Judging = Callable[[str], Judge]


@pytest.fixture(scope="module")
def judge_of() -> Judging:
    opa = find_opa(None)

    @cache
    def judge(text: str) -> Judge:
        found = appoint(MemoryTree({"ordain.yaml": text.encode()}), opa=opa).judge
        assert found is not None
        return found

    return judge


def override(where: str, level: str) -> str:
    return f"{REPOSITORY}  overrides: [{{{where}, rules: {{{RULE}: {{level: {level}}}}}}}]\n"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (REPOSITORY, REPOSITORY + f"  rules: {{{RULE}: {{level: warn}}}}\n", [f"{RULE} is warn instead of deny"]),
        (REPOSITORY, override('paths: ["tenants/lab/**"]', "audit"), [f"{RULE} is audit instead of deny for tenants/lab/**"]),
        (override("paths: [library/*]", "warn"), override("paths: [library/*]", "off"), [f"{RULE} is off instead of warn for library/*"]),
        (REPOSITORY, override('tenants: [lab], paths: ["**"]', "audit"), [f"{RULE} is audit instead of deny for **"]),
        (override('paths: ["tenants/lab/**"]', "audit"), REPOSITORY, []),
        (REQUIRED, REPOSITORY, ["signatures are no longer required"]),
        (CO_SIGNED, REQUIRED, ["ordain.yaml needs one signer instead of two", "policies/** needs one signer instead of two"]),
        (REPOSITORY, CO_SIGNED, []),
    ],
)  # fmt: skip
def test_what_is_no_longer_refused_is_said(before: str, after: str, said: list[str], judge_of: Judging) -> None:
    assert list(loosened(judge_of(before), judge_of(after))) == said
