"""Replies, deadlines and what is taken back, with a clock that the test turns and the real engine behind the bus."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from agents.gateway import timeout
from models.messages import AuthorizationMessage, Reversal
from tests.support import messages as say
from tests.support.gateway import PAN, GatewayBench, Line
from topics.iso8583 import Origin, encode_request
from topics.iso8583.packager import pack, unpack


@pytest.fixture
def bench() -> GatewayBench:
    return GatewayBench()


def test_a_decision_in_time_is_the_answer(bench: GatewayBench) -> None:
    bench.say(say.request(amount=1000))
    bench.pass_time(1.999)
    assert bench.line.answers == []
    assert bench.metric("in_flight") == 1
    bench.engine_works()
    [answer] = bench.line.answers
    assert answer is not None
    assert (answer[0], answer[39], answer[63], answer[4]) == ("0110", "00", "ref-1", "000000001000")
    assert len(answer[38]) == 6
    bench.pass_time(10)
    assert len(bench.line.answers) == 1
    assert bench.bus.must_arrive == []
    assert bench.holds() == {"ref-1": 1000}
    assert (bench.metric("in_flight"), bench.metric("requests_total", type="0100", code="00")) == (0, 1)


def test_a_decision_that_comes_too_late_is_dropped_and_its_hold_released(bench: GatewayBench) -> None:
    bench.say(say.request(amount=1000))
    bench.pass_time(2)
    assert bench.line.codes == ["91"]
    bench.engine_works()
    assert bench.line.codes == ["91"]
    assert bench.holds() == {}
    assert bench.metric("late_replies_total", type="authorization-decision") == 1
    assert bench.metric("timeouts_total", type="authorization-request") == 1
    [reversal] = bench.bus.must_arrive
    assert isinstance(reversal, Reversal)
    assert (reversal.message_id, reversal.network_reference) == ("timeout-ref-1", "ref-1")
    assert (reversal.reason, reversal.amount) == ("timeout", None)


def test_the_card_number_goes_when_the_answer_is_out(bench: GatewayBench) -> None:
    """What waits for a late reply has no use for it."""
    bench.say(say.request(amount=1000))
    bench.pass_time(2)
    [pending] = bench.gateway._in_flight._ended
    assert pending.raw == b""


def test_a_repeat_of_what_was_taken_back_is_answered_alike(bench: GatewayBench) -> None:
    """The engine remembers its approval and would repeat it, but the hold is gone."""
    bench.say(say.request(amount=1000))
    bench.pass_time(2)
    bench.engine_works()
    bench.say(say.request(amount=1000), "0101")
    bench.engine_works()
    assert bench.line.codes == ["91", "91"]
    assert bench.bus.sent == []
    assert bench.holds() == {}


def test_a_repeat_that_waits_when_the_first_is_taken_back_ends_with_it(bench: GatewayBench) -> None:
    other = Line()
    bench.say(say.request(amount=1000))
    bench.pass_time(1.5)
    bench.say(say.request(amount=1000), "0101", other)
    bench.pass_time(0.5)
    assert (bench.line.codes, other.codes) == (["91"], ["91"])
    bench.engine_works()
    bench.pass_time(5)
    assert (len(bench.line.codes), len(other.codes)) == (1, 1)
    assert bench.holds() == {}
    assert bench.metric("late_replies_total", type="authorization-decision") == 2


def test_repeats_on_two_lines_are_answered_alike(bench: GatewayBench) -> None:
    other = Line()
    bench.say(say.request(amount=1000))
    bench.say(say.request(amount=1000), "0101", other)
    bench.engine_works()
    assert bench.line.answers == other.answers
    assert bench.line.codes == ["00"]


def test_a3_of_two_that_differ_each_gets_its_own_answer(bench: GatewayBench) -> None:
    """Same reference, 50.00 and then 70.00, both in flight."""
    other = Line()
    bench.say(say.request(amount=5000))
    bench.say(say.request(amount=7000), line=other)
    bench.engine_works()
    assert (bench.line.codes, other.codes) == (["00"], ["94"])
    assert bench.holds() == {"ref-1": 5000}


def test_what_was_decided_for_somebody_elses_amount_is_not_our_answer(bench: GatewayBench) -> None:
    """Another producer has sent the same reference before us: the first reply is not ours."""
    bench.engine.run(say.request(amount=7000))
    [theirs] = bench.engine.on("authorization-decisions")
    bench.say(say.request(amount=5000))
    bench.gateway.hear(orjson.dumps(theirs))
    assert bench.line.codes == []
    bench.engine_works()
    assert bench.line.codes == ["94"]


def test_the_late_reply_to_a_reversal_is_not_that_to_a_conflicting_one(bench: GatewayBench) -> None:
    bench.say(say.request(amount=1000))
    bench.engine_works()
    bench.say(say.reversal(amount=400), "0420")
    bench.pass_time(2)
    bench.say(say.reversal(amount=600), "0420")
    bench.engine_works()
    assert bench.line.codes == ["00", "91", "94"]
    assert bench.holds() == {"ref-1": 600}
    assert bench.metric("late_replies_total", type="reversal-acknowledgement") == 1


def test_a_late_increment_is_taken_back_when_its_approval_is_seen(bench: GatewayBench) -> None:
    bench.say(say.request(amount=1000))
    bench.engine_works()
    bench.say(say.increment(amount=500))
    bench.pass_time(2)
    assert bench.line.codes == ["00", "91"]
    assert bench.bus.must_arrive == [], "it may as well be declined: a reversal would take what is not its own"
    bench.engine_works()
    assert bench.holds() == {"ref-1": 1500}
    bench.engine_works()
    assert bench.holds() == {"ref-1": 1000}
    bench.say(say.increment(amount=500), "0101")
    assert bench.line.codes == ["00", "91", "91"]


def test_a_late_increment_that_was_declined_takes_nothing(bench: GatewayBench) -> None:
    bench.say(say.request(amount=1000))
    bench.engine_works()
    bench.say(say.increment(amount=500_000))
    bench.pass_time(2)
    bench.engine_works()
    bench.engine_works()
    assert bench.holds() == {"ref-1": 1000}
    assert bench.bus.must_arrive == []


def test_a_late_increment_to_a_total_is_counted(bench: GatewayBench) -> None:
    bench.say(say.request(amount=1000))
    bench.engine_works()
    bench.say(say.increment(amount=1500, amount_is="total"))
    bench.pass_time(2)
    bench.engine_works()
    assert bench.metric("not_undone_total") == 1
    assert bench.bus.must_arrive == []


@pytest.mark.parametrize(
    ("message", "message_type", "answer"),
    [
        (say.stand_in("ref-2"), "0120", "0130"),
        (say.completion("ref-1"), "0121", "0130"),
        (say.reversal("ref-1"), "0400", "0410"),
        (say.reversal("ref-1"), "0421", "0430"),
        (say.request("ref-2", 0, kind="account-verification"), "0100", "0110"),
        (say.request("ref-2", 100, kind="refund"), "0200", "0210"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.type,
)
def test_what_holds_nothing_is_answered_91_and_its_repeat_goes_to_the_engine(
    bench: GatewayBench, message: AuthorizationMessage, message_type: str, answer: str
) -> None:
    bench.say(say.request("ref-1"))
    bench.engine_works()
    bench.line.answers.clear()
    bench.say(message, message_type)
    bench.pass_time(2)
    bench.engine_works()
    bench.say(message, message_type[:3] + "1")
    bench.engine_works()
    assert bench.line.codes == ["91", "00"]
    assert [elements and elements[0] for elements in bench.line.answers] == [answer, answer]
    assert bench.bus.must_arrive == []


def test_what_never_left_is_not_taken_back(bench: GatewayBench) -> None:
    bench.bus.away = True
    bench.say(say.request())
    bench.pass_time(2)
    assert bench.line.codes == ["91"]
    assert bench.bus.must_arrive == []
    bench.bus.come_back()
    bench.bus.sent = [parcel for parcel in bench.bus.sent if not parcel.withdrawn]
    assert bench.bus.sent == []
    bench.say(say.request(), "0101")
    bench.engine_works()
    assert bench.line.codes == ["91", "00"]


def test_a_repeat_that_never_left_may_repeat_what_was_approved(bench: GatewayBench) -> None:
    bench.say(say.request())
    bench.engine_works()
    bench.bus.away = True
    bench.say(say.request(), "0101")
    bench.pass_time(2)
    bench.bus.come_back()
    bench.engine_works()
    assert bench.line.codes == ["00", "91"]
    assert bench.holds() == {}


def test_an_approval_that_nobody_takes_is_taken_back(bench: GatewayBench) -> None:
    bench.say(say.request("ref-1"))
    bench.say(say.request("ref-2", 10_000_000))
    bench.line.gone = True
    bench.engine_works()
    bench.engine_works()
    assert bench.holds() == {}
    assert bench.metric("undelivered_total") == 2
    assert [each.network_reference for each in bench.bus.must_arrive] == ["ref-1"], "a decline holds nothing"


def test_an_approval_that_is_lost_with_its_line_stands_when_its_repeat_is_answered(bench: GatewayBench) -> None:
    other = Line()
    bench.say(say.request())
    bench.line.gone = True
    bench.say(say.request(), "0101", other)
    bench.engine_works()
    bench.engine_works()
    assert other.codes == ["00"]
    assert bench.holds() == {"ref-1": 1000}


def test_a_request_that_waited_too_long_for_its_turn_is_not_sent(bench: GatewayBench) -> None:
    """Back-pressure: its frame came two seconds ago and stood in line."""
    bench.say(say.request(), waited_s=2)
    assert bench.line.codes == ["91"]
    assert bench.bus.sent == []


def test_deadlines_are_those_of_arrival_not_of_turn(bench: GatewayBench) -> None:
    bench.say(say.request("ref-1"))
    bench.say(say.request("ref-2"), waited_s=1)
    assert bench.gateway.next_deadline() == bench.clock + 1
    bench.pass_time(1)
    [answer] = bench.line.answers
    assert answer is not None
    assert answer[63] == "ref-2"


def test_the_future_is_refused_before_the_engine_buries_it(bench: GatewayBench) -> None:
    """The engine gives no reply to a reversal dated ahead."""
    bench.say(say.reversal(transmitted_at=say.T0 + 301_000), "0420")
    assert bench.line.codes == ["30"]
    assert bench.bus.sent == []


def test_noise_is_not_answered_and_the_next_is(bench: GatewayBench) -> None:
    assert str(bench.frame(b"\x00\x01")) == "not-iso8583: MTI: not four digits"
    raw = encode_request(say.request(), Origin(PAN, "12345", "000001"))
    assert bench.frame(b"0110" + raw[4:]) is not None
    elements = unpack(raw)
    assert isinstance(elements, dict)
    del elements[18]
    assert bench.frame(pack(elements)) is not None
    assert bench.line.codes == [None, None, "30"]
    bench.say(say.request())
    bench.engine_works()
    assert bench.line.codes[-1] == "00"
    assert bench.metric("malformed_total", reason="not-iso8583") == 1
    assert bench.metric("requests_total", type="0100", code="30") == 1


def test_records_that_are_no_replies_are_passed_over(bench: GatewayBench) -> None:
    bench.say(say.request())
    reply = b'{"type":"authorization-decision","account_id":"acct-1","network_reference":"ref-1"'
    for value in (None, b"", b"[]", b"x", b"{}", b'{"type":1,"account_id":[]}', reply + b"}", reply + b',"amount":1}'):
        bench.gateway.hear(value)
    assert bench.line.codes == []
    bench.engine_works()
    assert bench.line.codes == ["00"]


@pytest.mark.parametrize(
    ("function", "code"), [("001", "00"), ("002", "00"), ("301", "00"), ("161", "12"), (None, "30")]
)
def test_network_management(bench: GatewayBench, function: str | None, code: str) -> None:
    asked = {0: "0800", 7: "0921141320", 11: "000042", 32: "12345", 63: "net"} | ({70: function} if function else {})
    assert bench.frame(pack(asked)) is None
    [answer] = bench.line.answers
    assert answer == asked | {0: "0810", 39: code}
    assert bench.metric("requests_total", type="0800", code=code) == 1


def test_management_that_cannot_be_read_is_malformed(bench: GatewayBench) -> None:
    assert bench.frame(b"0800" + b"F" * 16) is not None
    assert bench.line.codes == [None]


def test_a_reply_that_iso8583_cannot_say_is_91_and_taken_back(bench: GatewayBench) -> None:
    bench.say(say.request(amount=100))
    bench.engine.run(say.request(amount=100))
    [decision] = bench.engine.on("authorization-decisions")
    wrong = decision | {"outcome": "partially-approved", "approved_amount": 10**12}
    bench.gateway.hear(orjson.dumps(wrong))
    assert bench.line.codes == ["91"]
    bench.engine_works()
    assert bench.holds() == {}


def test_ids_of_our_reversals_fit_and_differ() -> None:
    references = ["r" * length for length in (1, 56, 57, 64)] + ["s" * 64]
    ids = [timeout.reversal_id(reference) for reference in references]
    assert len(set(ids)) == len(references)
    assert max(map(len, ids)) <= 64
    assert ids[1] == "timeout-" + "r" * 56


def test_sending_a_reversal_of_ours_twice_is_sending_it_once(bench: GatewayBench) -> None:
    request = say.request(amount=1000)
    first = timeout.undo_unseen(request)
    again = timeout.undo_unseen(replace(request, transmitted_at=request.transmitted_at + 5000))
    assert first is not None
    assert again is not None
    bench.engine.run(request)
    told = bench.engine.run(first, again)
    outcomes = [body["outcome"] for body in told if body["type"] == "reversal-acknowledgement"]
    assert outcomes == ["released", "released"]
    assert bench.holds() == {}
