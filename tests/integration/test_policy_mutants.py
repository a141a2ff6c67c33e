"""Conditions of rules are held by the rules' own tests: with one of them wrong, a test fails.

This is a sample of every twelfth mutant, to be quick; `make test-mutations` tries them all.
"""

from pathlib import Path

import pytest

from reconciler.opa.program import find_opa
from tests.policy_equivalents import EQUIVALENT
from tests.policy_mutants import RULES, mutants, rule_files, survivors

pytestmark = pytest.mark.needs("opa")

SAMPLE = 12
CATEGORIES = sorted({file.parents[1].name for file in rule_files()})


@pytest.mark.parametrize("category", CATEGORIES)
def test_no_condition_can_be_wrong_unnoticed(category: str) -> None:
    files = [file for file in rule_files() if file.parents[1].name == category]
    assert [str(mutant) for file in files for mutant in survivors(file, find_opa(None), step=SAMPLE)] == []


def test_the_list_of_mutants_that_make_no_difference_names_no_other() -> None:
    rules = {rule for rule, _, _ in EQUIVALENT}
    there = {mutant.key for rule in rules for mutant in mutants(RULES / rule / f"{Path(rule).name}.rego", find_opa(None))}
    assert EQUIVALENT.keys() - there == set()
