"""Names: what may become a path, a target or a certificate's URI, and durations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import duration, identity
from agent.protocol.errors import MalformedError

label = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


@given(label, label)
def test_labels_and_pool_members_are_names(one: str, two: str) -> None:
    assert identity.require_label(one, "tenant") == one
    assert identity.require_agent(f"{one}/{two}") == f"{one}/{two}"


@given(st.text(max_size=70))
def test_what_passes_as_a_name_can_be_no_path_and_no_uri_of_another(name: str) -> None:
    try:
        identity.require_label(name, "agent")
    except MalformedError:
        return
    assert name
    assert not set(name) & set("./\\:%_ \n")
    assert name.isascii()
    assert name == name.lower()


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a_b", "a" * 64, "..", "a\n", "é", "a/b", "\u0661"])
def test_what_is_no_dns_label_is_refused(name: str) -> None:
    with pytest.raises(MalformedError, match="DNS label"):
        identity.require_label(name, "fleet")


@pytest.mark.parametrize("name", ["", "/", "a/", "/a", "a/b/c", "a/..", "../a"])
def test_what_is_no_agent_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        identity.require_agent(name)


def test_agents_and_pool_members_have_uris_of_their_own() -> None:
    assert identity.spiffe("ordain.example", "shop", "web-01") == "spiffe://ordain.example/shop/agent/web-01"
    assert identity.spiffe("ordain.example", "shop", "runners/7f3a") == "spiffe://ordain.example/shop/pool/runners/7f3a"


@pytest.mark.parametrize(
    ("text", "length"), [("0s", 0), ("90s", 90), ("10m", 600), ("4h", 14_400), ("90d", 7_776_000), ("3650d", 315_360_000)]
)
def test_a_duration_is_read_in_seconds(text: str, length: int) -> None:
    assert duration.seconds(text) == length


@pytest.mark.parametrize(
    "text", ["", "10", "m", "1.5h", "-1s", "+1s", "01s", " 1s", "1s ", "1s\n", "1w", "1h30m", "3651d", "9" * 30 + "s", "\u0661s"]
)
def test_what_is_no_duration_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="is not a duration"):
        duration.seconds(text)
