"""The map of a rendered text: it gives what the compiler and the host give, and no line is lost."""

from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import rendering
from agent.protocol.errors import MalformedError
from reconciler.pipeline.why.rendered import line_of, pieces

SPACES = {
    "labels": {"region": "eu", "empty": ""},
    "parameters": {"motd": "one\ntwo\n", "price": "5$", "trap": "${labels.region}"},
    "agent": rendering.agent_fields("shop", "web-01"),
}
REFERENCES = ["${labels.region}", "${labels.empty}", "${parameters.motd}", "${parameters.price}", "${parameters.trap}", "${agent.name}"]
PARTS = st.sampled_from([*REFERENCES, "$${labels.region}", "${HOME}", "a", "\n", "$", "x ", "}", "\r\n"])
TEXTS = st.lists(PARTS, max_size=12).map("".join)


@given(TEXTS)
def test_a_text_in_pieces_is_the_text_that_lands_on_a_host(text: str) -> None:
    try:
        resolved = rendering.resolve(text, labels=SPACES["labels"], parameters=SPACES["parameters"])
    except MalformedError:
        return
    landed = rendering.finish(resolved, tenant="shop", agent="web-01")
    assert "".join(piece.text for piece in pieces(text, SPACES)) == landed


@given(TEXTS)
def test_its_lines_are_those_of_the_text_and_each_begins_where_it_was_written(text: str) -> None:
    made = list(pieces(text, SPACES))
    landed = "".join(piece.text for piece in made)
    rows = landed.split("\n")[:-1] if landed.endswith("\n") or not landed else landed.split("\n")
    found = [line for number in range(1, len(rows) + 1) if (line := line_of(made, number)) is not None]
    assert [line.text for line in found] == rows
    assert line_of(made, len(rows) + 1) is None
    for line in found:
        first = text[line.offset :]
        assert first.startswith(line.text[:1]) or rendering.REFERENCE.match(first)
        assert all(f"${{{space}.{name}}}" in first for space, name in line.references)
        if line.inside:
            space, name = line.references[0]
            assert SPACES[space][name][line.inside - 1] == "\n"
    assert [line.offset for line in found] == sorted(line.offset for line in found)
