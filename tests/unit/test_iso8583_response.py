"""Answers on the wire: response codes, approval code, results, partly approved amounts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from models.messages import (
    AdviceAcknowledgement,
    AuthorizationDecision,
    AuthorizationMessage,
    AuthorizationRequest,
    ReversalAcknowledgement,
)
from models.outcomes import AdviceOutcome, DeclineReason, ReversalOutcome
from tests.support import messages as say
from topics.iso8583 import (
    Malformed,
    MalformedReason,
    Origin,
    Original,
    Unencodable,
    decode,
    encode_request,
    encode_response,
    refuse,
    response_code,
)
from topics.iso8583.packager import pack, unpack
from topics.iso8583.response import ACKNOWLEDGEMENT_CODES, DECLINE_CODES

ORIGIN = Origin("4111111111111111", "12345", "000321", terminal_id="T1")


def decision(outcome: Any = "approved", reason: str | None = None, **changes: Any) -> AuthorizationDecision:
    content: dict[str, Any] = {
        "network_reference": "ref-1", "account_id": "acct-1", "outcome": outcome, "reason": reason, "amount": 1000,
        "currency": "USD", "approval_code": None if reason else "K7M2P9", "open_to_buy": 5000, "fraud_score": 10,
        "fraud_reasons": [], "model_version": "fraud-1.0", "decided_at": say.T0,
        "approved_amount": 0 if reason else 1000,
    }  # fmt: skip
    return AuthorizationDecision("authorization-decision", 1, **(content | changes))


def acknowledged(outcome: str) -> AdviceAcknowledgement:
    return AdviceAcknowledgement("advice-acknowledgement", 1, "ref-1", "acct-1", outcome, 1000, 1000, 4000, say.T0)


def taken_back(outcome: str) -> ReversalAcknowledgement:
    return ReversalAcknowledgement(
        "reversal-acknowledgement", 1, "rev-1", "ref-1", "acct-1", outcome, 1000, 5000, say.T0
    )


def answer(message: AuthorizationMessage, reply: Any, message_type: str | None = None) -> dict[int, str]:
    elements = unpack(encode_response(encode_request(message, ORIGIN, message_type), reply))
    assert isinstance(elements, dict)
    return elements


def test_an_approval_echoes_the_request() -> None:
    asked = unpack(encode_request(say.request(), ORIGIN))
    assert isinstance(asked, dict)
    told = answer(say.request(), decision(avs_result="Y", cvv_result="M"))
    assert (told[0], told[38], told[39], told[44]) == ("0110", "K7M2P9", "00", "Y M")
    assert told[4] == "000000001000"
    for number in (2, 3, 4, 7, 11, 32, 41, 42, 49, 63):
        assert told[number] == asked[number]
    assert not {14, 22, 43} & set(told)


def test_without_results_there_is_no_element_44() -> None:
    assert 44 not in answer(say.request(), decision())
    assert answer(say.request(), decision(cvv_result="N"))[44] == "  N"


def test_a_partial_approval_in_the_accounts_currency() -> None:
    told = answer(say.request(amount=1000), decision("partially-approved", approved_amount=640))
    assert (told[39], told[4], told[54], told[38]) == ("10", "000000000640", "0057840D000000001000", "K7M2P9")


def test_a_partial_approval_in_the_merchants_currency_is_rounded_down() -> None:
    asked = say.request(amount=1085, merchant_amount=1000, merchant_currency="EUR", conversion_rate=108_500_000)
    told = answer(asked, decision("partially-approved", amount=1085, approved_amount=640))
    assert (told[4], told[6], told[54]) == ("000000000589", "000000000640", "0057978D000000001000")  # 589.86


@pytest.mark.parametrize("reason", list(DeclineReason))
def test_every_reason_has_a_code_of_its_own_choice(reason: DeclineReason) -> None:
    told = answer(say.request(), decision("declined", reason.value))
    assert told[39] == DECLINE_CODES[reason.value]
    assert told[39] not in {"00", "05", "08", "10", "11", "16", "85"}
    assert 38 not in told


def test_no_code_for_a_reason_that_there_is_not() -> None:
    assert set(DECLINE_CODES) == {reason.value for reason in DeclineReason}
    outcomes = {outcome.value for outcome in (*AdviceOutcome, *ReversalOutcome)}
    assert set(ACKNOWLEDGEMENT_CODES) <= outcomes


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("insufficient-open-to-buy", "51"), ("expired-card", "54"), ("suspected-fraud", "59"), ("unknown-card", "14"),
        ("conflicting-duplicate", "94"), ("scoring-unavailable", "91"), ("invalid-amount", "13"), ("control", "57"),
        ("account-not-active", "62"), ("too-many-open-holds", "65"), ("reversed-before-arrival", "12"),
        ("no-matching-hold", "25"), ("malformed", "30"), ("system-malfunction", "96"),
        ("a-reason-of-next-year", "05"),
    ],
)  # fmt: skip
def test_declines_by_reason(reason: str, code: str) -> None:
    assert response_code(decision("declined", reason)) == code


@pytest.mark.parametrize(
    ("reason", "detail", "code"),
    [
        ("card-not-active", None, "62"),
        ("card-not-active", "lost", "41"),
        ("card-not-active", "stolen", "43"),
        ("card-not-active", "frozen", "62"),
        ("card-not-active", "closed", "14"),
        ("account-not-active", "closed", "62"),
        ("control", "amount", "61"),
        ("control", "count", "65"),
        ("insufficient-open-to-buy", "count", "51"),
    ],
)
def test_a_detail_refines_a_decline(reason: str, detail: str | None, code: str) -> None:
    assert response_code(dataclasses.replace(decision("declined", reason), detail=detail)) == code


@pytest.mark.parametrize(
    ("message", "message_type", "reply", "response_type"),
    [
        (say.request(), "0101", decision(), "0110"),
        (say.request(), "0200", decision(), "0210"),
        (say.request(), "0201", decision(), "0210"),
        (say.increment(), "0100", decision(), "0110"),
        (say.completion(), "0120", acknowledged("adjusted"), "0130"),
        (say.stand_in(), "0121", acknowledged("placed"), "0130"),
        (say.reversal(), "0400", taken_back("released"), "0410"),
        (say.reversal(), "0401", taken_back("nothing-to-release"), "0410"),
        (say.reversal(), "0420", taken_back("remembered"), "0430"),
        (say.reversal(), "0421", taken_back("released"), "0430"),
    ],
)
def test_every_type_has_its_answer(message: Any, message_type: str, reply: Any, response_type: str) -> None:
    told = answer(message, reply, message_type)
    assert (told[0], told[39]) == (response_type, "00")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("unknown-account", "14"), ("conflicting-duplicate", "94"), ("currency-mismatch", "12"), ("noted", "00")],
)
def test_advices_are_taken_unless_they_make_no_sense(outcome: str, code: str) -> None:
    assert answer(say.completion(), acknowledged(outcome))[39] == code
    assert response_code(taken_back(outcome)) == code


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        (say.request(), taken_back("released")),
        (say.request(), acknowledged("placed")),
        (say.completion(), decision()),
        (say.reversal(), decision()),
    ],
)
def test_an_answer_to_another_question_is_refused(message: Any, reply: Any) -> None:
    with pytest.raises(Unencodable, match="request_iso"):
        answer(message, reply)
    with pytest.raises(Unencodable, match="request_iso"):
        encode_response(b"0100", reply)


@pytest.mark.parametrize(
    ("changes", "code"), [({2: "5555555555554444"}, "14"), ({3: "310000"}, "12"), ({14: "3000"}, "30")]
)
def test_what_was_not_taken_is_answered_all_the_same(changes: dict[int, str], code: str) -> None:
    elements = unpack(encode_request(say.request(), ORIGIN))
    assert isinstance(elements, dict)
    raw = pack(elements | changes)
    malformed = decode(raw, say.T0, lambda pan: ("a", "c") if pan == ORIGIN.pan else None)
    assert isinstance(malformed, Malformed)
    response = unpack(refuse(raw, malformed) or b"")
    assert isinstance(response, dict)
    assert (response[0], response[39], response[11]) == ("0110", code, "000321")


def test_noise_and_responses_are_not_answered() -> None:
    noise = Malformed(MalformedReason.NOT_ISO8583, "MTI", "")
    assert refuse(b"\x16\x03\x01", noise) is None
    assert refuse(encode_response(encode_request(say.request(), ORIGIN), decision()), noise) is None


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (say.request(merchant_id="m" * 16), "merchant_id"),
        (say.request(amount=10**12), "amount"),
        (say.request(currency="XXX"), "currency"),
        (say.request(card_expiry=210001), "card_expiry"),
        (say.request(merchant_amount=5), "merchant_amount"),
        (say.request(conversion_rate=10**15), "conversion_rate"),
    ],
)
def test_what_iso_cannot_say_is_named(message: Any, field: str) -> None:
    with pytest.raises(Unencodable) as refused:
        encode_request(message, ORIGIN)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("Caf\u00e9 \u2615 Stra\u00dfe\u2122", "Cafe StrasseTM"),
        ("\U0001f600 \u4e2d\u56fd", "UNKNOWN"),
        ("Twenty-five characters, a blank", "Twenty-five characters, a"),
    ],
)
def test_i9_i10_a_name_is_sent_in_ascii_and_never_empty(name: str, read: str) -> None:
    message = decode(encode_request(say.request(merchant_name=name), ORIGIN), say.T0, lambda _pan: ("a", "c"))
    assert isinstance(message, AuthorizationRequest)
    assert message.merchant_name == read


def test_blanks_at_the_end_of_codes_are_lost() -> None:
    message = decode(encode_request(say.request(rrn="12 "), ORIGIN), say.T0, lambda _pan: ("a", "c"))
    assert isinstance(message, AuthorizationRequest)
    assert message.rrn == "12"


def test_a_message_type_of_another_message_is_named() -> None:
    with pytest.raises(Unencodable, match="message_type: a reversal is one of 0400, 0401, 0420, 0421"):
        encode_request(say.reversal(), ORIGIN, "0100")


def test_a_partial_reversal_needs_an_original_at_least_as_large() -> None:
    small = Origin("4111111111111111", "12345", "000322", original=Original("0100", "000321", say.T0, amount=10))
    with pytest.raises(Unencodable, match="amount: takes back more"):
        encode_request(say.reversal(amount=11), small)


def test_the_origin_does_not_show_the_card_number() -> None:
    assert "4111" not in repr(ORIGIN)
