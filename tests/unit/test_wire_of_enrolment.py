"""Tokens, chains of certificates and watch answers: what is written is read, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import codec, enrolment, watching
from agent.protocol.enrolment import Token, TokenBody
from agent.protocol.errors import MalformedError
from agent.protocol.watching import Leave, WatchAnswer

TOKEN = Token(body=TokenBody(id="3f", tenant="shop", authority=["ab" * 32]), secret="s" * 43)
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
labels = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=30)


@given(st.text(max_size=40), labels, st.lists(texts, max_size=3))
def test_a_token_that_is_written_is_read(identity: str, tenant: str, authority: list[str]) -> None:
    token = Token(body=TokenBody(id=identity, tenant=tenant, authority=authority), secret="-" * enrolment.SECRET_LENGTH)
    text = enrolment.write_token(token)
    if len(text) <= enrolment.TOKEN_LIMIT:
        assert enrolment.read_token(f" {text}\n") == token


WHOLE = enrolment.write_token(TOKEN)


@pytest.mark.parametrize(
    "text",
    [
        WHOLE[:-1],
        WHOLE + "A",
        WHOLE.replace("ordain1", "ordain2"),
        WHOLE.replace(".", "..", 1),
        "ordain1.!!!." + "s" * 43,
        "ordain1.AAAA." + "s" * 43,
        WHOLE * 20,
        "",
    ],
)
def test_a_spoilt_token_is_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(MalformedError) as refused:
        enrolment.read_token(text)
    assert "ssss" not in str(refused.value)


def test_a_chain_is_split_into_its_certificates() -> None:
    assert enrolment.split_pem(PEM * 2) == [PEM, PEM]


@pytest.mark.parametrize(
    "text", ["", "x" + PEM, PEM + "x", PEM * 9, PEM.replace("BEGIN", "BEGUN"), PEM + PEM.replace("CERTIFICATE", "EC PRIVATE KEY")]
)
def test_what_is_no_chain_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        enrolment.split_pem(text)


@given(
    files=st.dictionaries(labels, st.dictionaries(texts, texts, max_size=3), max_size=3),
    report=st.booleans(),
    reason=st.none() | texts,
)
def test_an_answer_put_together_from_parts_is_as_canonical_as_any(
    *, files: dict[str, dict[str, str]], report: bool, reason: str | None
) -> None:
    leave = None if reason is None else Leave(what="keep", reason=reason)
    plain = WatchAnswer(format=watching.FORMAT, fleets=sorted(files), every=60, report=report, leave=leave)
    data = watching.encode_answer(plain, {fleet: watching.encode_part(fleet, names) for fleet, names in files.items()})
    read = codec.decode(data, WatchAnswer, what="answer", limit=watching.ANSWER_LIMIT)
    assert (read.parts, read.fleets, read.report, read.leave) == (files, sorted(files), report, leave)
