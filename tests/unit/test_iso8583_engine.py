"""An ISO simulator drives the engine: bytes in, the real engine, bytes out."""

from __future__ import annotations

from typing import Any, Final

from models.messages import (
    AdviceAcknowledgement,
    AuthorizationDecision,
    AuthorizationMessage,
    ReversalAcknowledgement,
)
from tests.support import messages as say
from tests.support.engine import Bench
from topics import codec
from topics.iso8583 import Malformed, Origin, Original, decode, encode_request, encode_response, refuse
from topics.iso8583.packager import unpack

PAN = "4111111111111111"
ANSWERS: Final[dict[str, Any]] = {
    "authorization-decision": AuthorizationDecision,
    "advice-acknowledgement": AdviceAcknowledgement,
    "reversal-acknowledgement": ReversalAcknowledgement,
}


class Link:
    """The issuer's end of a network link, over an engine with one account."""

    def __init__(self, credit_limit: int) -> None:
        self.bench = Bench()
        self.bench.run(say.opened(credit_limit=credit_limit))

    def answer(self, raw: bytes, at: int) -> dict[int, str] | None:
        """The elements of the answer."""
        message = decode(raw, at, lambda pan: ("acct-1", "card-acct-1") if pan == PAN else None)
        if isinstance(message, Malformed):
            response = refuse(raw, message)
        else:
            record = ("authorizations", message.account_id.encode(), codec.encode(message))
            self.bench.run(record, at=at)
            reply = self.bench.on("authorization-decisions")[-1]
            response = encode_response(raw, ANSWERS[reply["type"]](**reply))
        if response is None:
            return None
        elements = unpack(response)
        assert isinstance(elements, dict)
        return elements

    def say(
        self,
        message: AuthorizationMessage,
        stan: int,
        message_type: str | None = None,
        original: Original | None = None,
    ) -> tuple[str, str, str | None]:
        """(message type, response code, approval code) of the answer."""
        origin = Origin(PAN, "12345", f"{stan:06}", original=original)
        told = self.answer(encode_request(message, origin, message_type), message.transmitted_at + 40)
        assert told is not None
        return told[0], told[39], told.get(38)


def test_a_day_at_the_hotel() -> None:
    link = Link(credit_limit=10_000)
    check_in = say.request("ref-1", 4000, pre_authorization=True, mcc=7011)
    message_type, code, approval = link.say(check_in, 1)
    assert (message_type, code) == ("0110", "00")
    assert approval is not None
    assert link.say(check_in, 1, "0101") == ("0110", "00", approval)
    assert link.say(say.increment("ref-1", 3000), 2)[:2] == ("0110", "00")
    assert link.say(say.request("ref-2", 4000, transmitted_at=say.T0 + 3000), 3) == ("0110", "51", None)
    assert link.say(say.completion("ref-1", 6000), 4)[:2] == ("0130", "00")
    back = say.reversal("ref-1", amount=1000, transmitted_at=say.T0 + 4000)
    for _ in range(2):  # B5: however often it comes, it is taken once
        told = link.say(back, 5, original=Original("0100", "000001", check_in.transmitted_at, 4000))
        assert told[:2] == ("0410", "00")
    assert link.say(say.request("ref-3", 5000, transmitted_at=say.T0 + 5000), 6)[:2] == ("0110", "00")
    assert link.say(say.request("ref-4", 1, transmitted_at=say.T0 + 6000), 7)[:2] == ("0110", "51")


def test_a_partial_approval_tells_the_terminal_how_much() -> None:
    link = Link(credit_limit=640)
    raw = encode_request(say.request(amount=1000, partial_approval=True), Origin(PAN, "12345", "000001"))
    told = link.answer(raw, say.T0)
    assert told is not None
    assert (told[39], told[4], told[54]) == ("10", "000000000640", "0057840D000000001000")


def test_a_reversal_that_overtakes_its_request_leaves_no_hold() -> None:
    link = Link(credit_limit=1000)
    assert link.say(say.reversal("ref-1", reason="timeout"), 2, "0420")[:2] == ("0430", "00")
    assert link.say(say.request("ref-1", 1000, transmitted_at=say.T0 + 3000), 1) == ("0110", "12", None)


def test_noise_on_the_link_is_not_answered_and_the_next_message_is() -> None:
    link = Link(credit_limit=1000)
    assert link.answer(b"\x00\x01\x02", say.T0) is None
    wrong = encode_request(say.request(), Origin("5555555555554444", "12345", "000001"))
    refused = link.answer(wrong, say.T0)
    assert refused is not None
    assert (refused[0], refused[39]) == ("0110", "14")
    assert link.say(say.request(), 2)[:2] == ("0110", "00")
