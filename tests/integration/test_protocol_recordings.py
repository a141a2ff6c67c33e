"""What agents and servers of format 1 say to one another stays as it was recorded, so that an old one and a new one understand each other.

The recordings (`tests/vectors/protocol`) are never made anew: a change that one of them does not survive needs another format.
"""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from agent.protocol import codec, enrolment, report, watching
from agent.protocol.report import Batch, Receipt, SignedBatch
from agent.protocol.state import Struct
from agent.protocol.watching import WatchRequest
from reconciler.control.intake import decoding
from reconciler.control.watch import answers
from reconciler.publication.controls import Agent
from tests.talk_cases import Client, RefusedAnswerError, site

RECORDED = Path(__file__).parents[1] / "vectors" / "protocol"
REQUESTS: dict[str, type[Struct]] = {
    "watch": WatchRequest,
    "report": Batch,
    "report-carried": SignedBatch,
    "enrol": enrolment.EnrolmentRequest,
    "certificates": enrolment.RenewalRequest,
}
ANSWERS: dict[str, type[Struct]] = {
    "watch": watching.WatchAnswer,
    "report": report.Acknowledged,
    "enrol": enrolment.Issued,
    "certificates": enrolment.Issued,
    "authority": enrolment.Authority,
    "refusal": enrolment.Refusal,
}
NAMES = sorted(path.stem for path in RECORDED.glob("*.json") if path.stem != "messages")


@pytest.mark.parametrize("name", NAMES)
def test_both_sides_read_what_was_recorded_and_would_write_the_same(name: str) -> None:
    recorded = _recorded(name)
    for text, kinds in ((recorded["request"], REQUESTS), (recorded["answer"], ANSWERS)):
        if text:
            kind = kinds.get(name) or kinds[name.partition("-")[0]]
            found = codec.decode(text.encode(), kind, what=name)
            assert codec.canonical(found).decode() == text
            assert found.format == 1 if hasattr(found, "format") else name == "refusal"


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("watch", "report"))])
def test_the_server_takes_what_an_agent_of_then_asked(name: str) -> None:
    request = _recorded(name)["request"].encode()
    found: Struct = answers.decode(request) if name.startswith("watch") else decoding.decode(request)
    assert codec.canonical(found) == request


def test_what_is_signed_is_what_was_signed() -> None:
    recorded = _recorded("messages")
    receipt = codec.decode(recorded["receipt"].encode(), Receipt, what="receipt")
    assert report.receipt_message(receipt) == base64.b64decode(recorded["receiptMessage"])
    assert report.batch_message(recorded["batch"].encode()) == base64.b64decode(recorded["batchMessage"])


def test_an_agent_of_then_is_answered_in_words_that_it_knows(tmp_path: Path) -> None:
    """An answer holds no field that format 1 did not have; a format that is not known is refused with words."""
    fields = {"watch-first": {"every", "fleets", "format"}, "report-heartbeat": {"every", "format", "report", "sequence"}}
    with site(tmp_path) as shop:
        shop.write_controls(agents={"web-01": Agent()})
        host = shop.enrol("web-01")

        async def scenario() -> None:
            async with shop.serving() as port, Client(host, port) as client:
                for name, path in (("watch-first", "/v1/watch"), ("report-heartbeat", "/v1/reports")):
                    request = _recorded(name)["request"].encode()
                    assert set(json.loads(await client.post(path, request))) == fields[name]
                    with pytest.raises(RefusedAnswerError) as refused:
                        await client.post(path, request.replace(b'"format":1', b'"format":2'))
                    said = codec.decode(refused.value.body, enrolment.Refusal, what="refusal")
                    assert (refused.value.status, said.code) == (400, "malformed")
                    assert "format 2" in said.error

        asyncio.run(scenario())


def _recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text())
    return found
