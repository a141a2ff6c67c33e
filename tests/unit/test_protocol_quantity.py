"""Amounts as manifests write them."""

import pytest

from agent.protocol.errors import MalformedError
from agent.protocol.quantity import octets, percent


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), ("4096", 4096), ("2Ki", 2048), ("256Mi", 2**28), ("3Gi", 3 * 2**30), ("1Ti", 2**40)]
)
def test_quantities_are_bytes(text: str, number: int) -> None:
    assert octets(text) == number


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5Gi", "256M", "256mi", "1 Gi", "٣Mi", "1Mi\n", "9" * 13])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="is not a quantity"):
        octets(text)


def test_shares_of_a_processor_are_percent_of_one_core() -> None:
    assert [percent("1%"), percent("250%")] == [1, 250]
    for text in ("", "0%", "50", "1.5%", "-1%", "100000%"):
        with pytest.raises(MalformedError, match="is not a share of processor time"):
            percent(text)
