"""Messages written out by hand, and what each must become. The number behind a line is its data element."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.messages import AuthorizationAdvice, AuthorizationIncrement, AuthorizationRequest, Reversal
from topics.iso8583 import Malformed, MalformedReason, decode

RECEIVED = 1_790_000_001_500  # 2026-09-21T14:13:21.5Z
SENT = 1_790_000_000_000  # 0921141320
PAN = "4111111111111111"
DERIVED = "00000012345-000321-20260921141320"

PURCHASE = (
    b"0100767C448108F0A00A"
    b"164111111111111111"  # 2
    b"003000"  # 3
    b"000000001000"  # 4
    b"000000001085"  # 6
    b"0921141320"  # 7
    b"61085000"  # 10
    b"000321"  # 11
    b"161320"  # 12
    b"0921"  # 13
    b"3012"  # 14
    b"5812"  # 18
    b"051"  # 22
    b"00"  # 25
    b"0512345"  # 32
    b"626414000321"  # 37
    b"TERM0001"  # 41
    b"CAFE00000000017"  # 42
    b"Kaffeehaus Zum Goldenen  Wien         AT"  # 43
    b"05Y M V"  # 44
    b"978"  # 49
    b"840"  # 51
    b"00501105"  # 61
    b"015MTI000123456789"  # 63
)
VERIFICATION = (
    b"0100723C448108F08008"
    b"164111111111111111"  # 2
    b"000000"  # 3
    b"000000000000"  # 4
    b"0921141320"  # 7
    b"000321"  # 11
    b"161320"  # 12
    b"0921"  # 13
    b"3012"  # 14
    b"5812"  # 18
    b"810"  # 22
    b"01"  # 25
    b"0512345"  # 32
    b"626414000321"  # 37
    b"TERM0001"  # 41
    b"CAFE00000000017"  # 42
    b"Kaffeehaus Zum Goldenen  Wien         AT"  # 43
    b"04Z N "  # 44
    b"840"  # 49
    b"00580005"  # 61
)
CASH = (
    b"0200723C448108E08000"
    b"164111111111111111"  # 2
    b"010000"  # 3
    b"000000020000"  # 4
    b"0921141320"  # 7
    b"000321"  # 11
    b"161320"  # 12
    b"0921"  # 13
    b"3012"  # 14
    b"6011"  # 18
    b"051"  # 22
    b"00"  # 25
    b"0512345"  # 32
    b"626414000321"  # 37
    b"TERM0001"  # 41
    b"CAFE00000000017"  # 42
    b"Kaffeehaus Zum Goldenen  Wien         AT"  # 43
    b"840"  # 49
)
INCREMENT = (
    b"0100F23C448108E080080000004000000000"
    b"164111111111111111"  # 2
    b"000000"  # 3
    b"000000004000"  # 4
    b"0922101500"  # 7
    b"000400"  # 11
    b"161320"  # 12
    b"0921"  # 13
    b"3012"  # 14
    b"5812"  # 18
    b"051"  # 22
    b"00"  # 25
    b"0512345"  # 32
    b"626414000321"  # 37
    b"TERM0001"  # 41
    b"CAFE00000000017"  # 42
    b"Kaffeehaus Zum Goldenen  Wien         AT"  # 43
    b"840"  # 49
    b"0015"  # 61
    b"010000032109211413200000001234500000000000"  # 90
)
COMPLETION = (
    b"0120F23C44810CE080080000004000000000"
    b"164111111111111111"  # 2
    b"000000"  # 3
    b"000000003350"  # 4
    b"0921143000"  # 7
    b"000500"  # 11
    b"161320"  # 12
    b"0921"  # 13
    b"3012"  # 14
    b"5542"  # 18
    b"051"  # 22
    b"00"  # 25
    b"0512345"  # 32
    b"626414000321"  # 37
    b"A1B2C3"  # 38
    b"TERM0001"  # 41
    b"CAFE00000000017"  # 42
    b"Kaffeehaus Zum Goldenen  Wien         AT"  # 43
    b"840"  # 49
    b"0017"  # 61
    b"010000032109211413200000001234500000000000"  # 90
)
STAND_IN = (
    b"0120F23C44810AE080000000004000000000"
    b"164111111111111111"  # 2
    b"000000"  # 3
    b"000000001000"  # 4
    b"0921143001"  # 7
    b"000501"  # 11
    b"161320"  # 12
    b"0921"  # 13
    b"3012"  # 14
    b"5812"  # 18
    b"051"  # 22
    b"00"  # 25
    b"0512345"  # 32
    b"626414000321"  # 37
    b"05"  # 39
    b"TERM0001"  # 41
    b"CAFE00000000017"  # 42
    b"Kaffeehaus Zum Goldenen  Wien         AT"  # 43
    b"840"  # 49
    b"010000032109211413200000000000000000000000"  # 90: the acquirer of zeros is the one of 32
)
TIMEOUT_REVERSAL = (
    b"0400F23800010AC080000000004000000000"
    b"164111111111111111"  # 2
    b"000000"  # 3
    b"000000001000"  # 4
    b"0921141420"  # 7
    b"000322"  # 11
    b"161320"  # 12
    b"0921"  # 13
    b"0512345"  # 32
    b"626414000321"  # 37
    b"68"  # 39
    b"TERM0001"  # 41
    b"CAFE00000000017"  # 42
    b"840"  # 49
    b"010000032109211413200000001234500000000000"  # 90
)
PARTIAL_REVERSAL = (
    b"0420F63800010AC0A0020000000200000000"
    b"164111111111111111"  # 2
    b"000000"  # 3
    b"000000001000"  # 4
    b"000000001085"  # 6
    b"0921150000"  # 7
    b"000323"  # 11
    b"161320"  # 12
    b"0921"  # 13
    b"0512345"  # 32
    b"626414000321"  # 37
    b"17"  # 39
    b"TERM0001"  # 41
    b"CAFE00000000017"  # 42
    b"978"  # 49
    b"840"  # 51
    b"015MTI000123456789"  # 63
    b"000000000400000000000000000000000434000000"  # 95
)
ALL = (PURCHASE, VERIFICATION, CASH, INCREMENT, COMPLETION, STAND_IN, TIMEOUT_REVERSAL, PARTIAL_REVERSAL)

PLAIN = AuthorizationRequest(
    "authorization-request", 1, DERIVED, "acct-7", "card-7", 203012, 20_000, "USD", "CAFE00000000017",
    "Kaffeehaus Zum Goldenen", "AT", 6011, "chip", True, SENT, kind="cash-advance", merchant_city="Wien",
    stan="000321", rrn="626414000321",
)  # fmt: skip


def tokenizer(pan: str) -> tuple[str, str] | None:
    return ("acct-7", "card-7") if pan == PAN else None


def refused(raw: bytes, received: int = RECEIVED) -> tuple[MalformedReason, str]:
    result = decode(raw, received, tokenizer)
    assert isinstance(result, Malformed), result
    assert PAN not in str(result)
    return result.reason, result.field


def test_0100_purchase_in_another_currency() -> None:
    assert decode(PURCHASE, RECEIVED, tokenizer) == replace(
        PLAIN, network_reference="MTI000123456789", kind="purchase", mcc=5812, amount=1085, merchant_amount=1000,
        merchant_currency="EUR", conversion_rate=108_500_000, avs_result="Y", cvv_result="M", pin_result="verified",
        partial_approval=True, pre_authorization=True, three_ds_result="05",
    )  # fmt: skip


def test_0100_account_verification_without_the_card() -> None:
    assert decode(VERIFICATION, RECEIVED, tokenizer) == replace(
        PLAIN, kind="account-verification", amount=0, mcc=5812, entry_mode="ecommerce", card_present=False,
        avs_result="Z", cvv_result="N", three_ds_result="05",
    )  # fmt: skip


def test_0200_cash_advance() -> None:
    assert decode(CASH, RECEIVED, tokenizer) == PLAIN


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (b"000000", "purchase"), (b"003000", "purchase"), (b"090000", "purchase"), (b"010000", "cash-advance"),
        (b"170000", "cash-advance"), (b"110000", "quasi-cash"), (b"180000", "quasi-cash"), (b"200030", "refund"),
    ],
)  # fmt: skip
def test_the_kind_is_in_the_processing_code(code: bytes, kind: str) -> None:
    message = decode(CASH.replace(b"010000", code, 1), RECEIVED, tokenizer)
    assert isinstance(message, AuthorizationRequest)
    assert message.kind == kind


def test_condition_51_also_means_a_verification() -> None:
    asked = decode(CASH.replace(b"010000", b"000000", 1).replace(b"051000512345", b"051510512345"), RECEIVED, tokenizer)
    assert isinstance(asked, AuthorizationRequest)
    assert (asked.kind, asked.card_present) == ("account-verification", False)


@pytest.mark.parametrize(
    ("code", "present", "initiator"),
    [
        (b"00", True, "cardholder"), (b"08", False, "cardholder"), (b"59", False, "cardholder"),
        (b"60", False, "merchant"), (b"61", True, "merchant"), (b"03", True, "cardholder"),
    ],
)  # fmt: skip
def test_the_condition_code_says_who_and_whether_the_card_is_there(code: bytes, present: bool, initiator: str) -> None:
    message = decode(CASH.replace(b"051000512345", b"051" + code + b"0512345"), RECEIVED, tokenizer)
    assert isinstance(message, AuthorizationRequest)
    assert (message.card_present, message.initiated_by) == (present, initiator)


def test_0100_increment_continues_the_message_in_element_90() -> None:
    expected = AuthorizationIncrement(
        "authorization-increment", 1, "00000012345-000400-20260922101500", DERIVED, "acct-7", 4000, "delta", "USD",
        SENT + 72_100_000,
    )  # fmt: skip
    assert decode(INCREMENT, RECEIVED, tokenizer) == expected
    assert decode(INCREMENT.replace(b"8400015", b"8400016"), RECEIVED, tokenizer) == replace(
        expected, amount_is="total"
    )


def test_0120_completion_names_its_authorisation() -> None:
    assert decode(COMPLETION, RECEIVED, tokenizer) == AuthorizationAdvice(
        "authorization-advice", 1, "00000012345-000500-20260921143000", "acct-7", "completion", True, "card-7", 3350,
        "USD", "CAFE00000000017", "Kaffeehaus Zum Goldenen", "AT", 5542, "chip", True, SENT + 1_000_000,
        original_reference=DERIVED, approval_code="A1B2C3", rrn="626414000321",
    )  # fmt: skip


def test_0120_stand_in_is_known_by_the_request_that_did_not_arrive() -> None:
    assert decode(STAND_IN, RECEIVED, tokenizer) == AuthorizationAdvice(
        "authorization-advice", 1, DERIVED, "acct-7", "stand-in", False, "card-7", 1000, "USD", "CAFE00000000017",
        "Kaffeehaus Zum Goldenen", "AT", 5812, "chip", True, SENT + 1_001_000, rrn="626414000321",
    )  # fmt: skip


def test_0400_names_the_request_it_takes_back() -> None:
    assert decode(TIMEOUT_REVERSAL, RECEIVED, tokenizer) == Reversal(
        "reversal", 1, "00000012345-000322-20260921141420", DERIVED, "acct-7", SENT + 60_000, None, "timeout"
    )


def test_0420_takes_back_the_billing_amount_less_its_replacement() -> None:
    assert decode(PARTIAL_REVERSAL, RECEIVED, tokenizer) == Reversal(
        "reversal", 1, "00000012345-000323-20260921150000", "MTI000123456789", "acct-7", SENT + 2_800_000,
        1085 - 434, "customer",
    )  # fmt: skip


@pytest.mark.parametrize("raw", ALL)
@pytest.mark.parametrize("sooner", [0, 1000])
def test_a_repeat_is_the_same_message(raw: bytes, sooner: int) -> None:
    repeat = raw[:3] + b"1" + raw[4:]
    assert decode(repeat, RECEIVED + sooner, tokenizer) == decode(raw, RECEIVED, tokenizer)


def test_a_repeat_stamped_anew_is_the_same_message_when_it_carries_its_reference() -> None:
    first = decode(PURCHASE, RECEIVED, tokenizer)
    repeat = decode(b"0101" + PURCHASE[4:].replace(b"0921141320", b"0921141325", 1), RECEIVED, tokenizer)
    assert isinstance(first, AuthorizationRequest)
    assert repeat == replace(first, transmitted_at=SENT + 5000)


@pytest.mark.parametrize(
    ("rate", "value"),
    [(b"61085000", 108_500_000), (b"00000002", 200_000_000), (b"80000001", 1), (b"90000014", 1), (b"90000015", 2)],
)
def test_a_rate_has_its_decimals_in_front(rate: bytes, value: int) -> None:
    message = decode(PURCHASE.replace(b"61085000", rate), RECEIVED, tokenizer)
    assert isinstance(message, AuthorizationRequest)
    assert message.conversion_rate == value


@pytest.mark.parametrize(("digits", "currency"), [(b"414", "KWD"), (b"392", "JPY"), (b"990", "CLF")])
def test_i6_minor_units_are_carried_as_they_are(digits: bytes, currency: str) -> None:
    message = decode(CASH.replace(b"AT840", b"AT" + digits).replace(b"0020000", b"0012345"), RECEIVED, tokenizer)
    assert isinstance(message, AuthorizationRequest)
    assert (message.amount, message.currency) == (12345, currency)


def named(name: bytes) -> str:
    message = decode(CASH.replace(b"Kaffeehaus Zum Goldenen  ", name.ljust(25)), RECEIVED, tokenizer)
    assert isinstance(message, AuthorizationRequest), message
    return message.merchant_name


def test_i9_i10_names_beyond_ascii_are_read() -> None:
    assert named("Café ☕ ™".encode()) == "Café ☕ ™"
    assert named("Café".encode("latin-1")) == "Café"
    assert named(("x" * 23 + "😀").encode()[:25]) == "x" * 23  # an acquirer that cut the emoji in two
    assert named(b"Tab\there\x00") == "Tab here"


def test_the_year_is_the_nearest() -> None:
    new_year_2027 = 1_798_761_600_000
    for sent, received, expected in [
        (b"1231235959", new_year_2027 + 1000, new_year_2027 - 1000),
        (b"0101000001", new_year_2027 - 1000, new_year_2027 + 1000),
    ]:
        message = decode(CASH.replace(b"0921141320", sent, 1), received, tokenizer)
        assert isinstance(message, AuthorizationRequest)
        assert message.transmitted_at == expected


@pytest.mark.parametrize("sent", [b"0229120000", b"1301000000", b"0921246000", b"0000000000"])
def test_a_time_that_there_is_not_is_refused(sent: bytes) -> None:
    assert refused(CASH.replace(b"0921141320", sent, 1)) == (MalformedReason.INVALID_ELEMENT, "DE7")


def test_a_leap_day_of_another_year_is_refused() -> None:
    leap_day = CASH.replace(b"0921141320", b"0229120000", 1)
    march_2027, march_2028 = 1_803_859_200_000, 1_835_481_600_000
    assert refused(leap_day, march_2027) == (MalformedReason.INVALID_ELEMENT, "DE7")
    message = decode(leap_day, march_2028, tokenizer)
    assert isinstance(message, AuthorizationRequest)
    assert message.transmitted_at == 1_835_438_400_000  # 2028-02-29T12:00Z


@pytest.mark.parametrize(
    ("raw", "reason", "field"),
    [
        (b"", "not-iso8583", "MTI"),
        (b"01x0" + CASH[4:], "not-iso8583", "MTI"),
        (b"0100zzzzzzzzzzzzzzzz", "not-iso8583", "bitmap"),
        (b"0100 23C448108E08000" + CASH[20:], "not-iso8583", "bitmap"),
        (INCREMENT[:20] + b"8" + INCREMENT[21:], "not-iso8583", "bitmap"),  # a third bitmap
        (CASH[:-1], "not-iso8583", "DE49"),
        (CASH + b"0", "not-iso8583", "DE49"),
        (CASH.replace(b"0512345", b"+512345"), "not-iso8583", "DE32"),
        (CASH.replace(b"0512345", b" 512345"), "not-iso8583", "DE32"),
        (CASH.replace(b"0512345", b"-512345"), "not-iso8583", "DE32"),
        (b"0800" + CASH[4:], "unsupported-type", "MTI"),
        (b"0110" + CASH[4:], "unsupported-type", "MTI"),
        (CASH.replace(b"010000", b"310000", 1), "unsupported-type", "DE3"),
        (CASH.replace(b"000000020000", b"0000000200x0"), "invalid-element", "DE4"),
        (CASH.replace(b"000000020000", "000000020\u0660 ".encode()), "invalid-element", "DE4"),
        (CASH.replace(b"AT840", b"AT999"), "invalid-element", "DE49"),
        (CASH.replace(b"164111111111111111", b"114111111111111111"[:13], 1), "invalid-element", "DE2"),
        (CASH.replace(b"4111111111111111", b"5555555555554444"), "unknown-card-number", "DE2"),
        (CASH.replace(b"3012", b"3013", 1), "invalid-element", "DE14"),
        (CASH.replace(b"Wien         AT", b"Wien         A1"), "invalid-element", "DE43"),
        (CASH.replace(b"Kaffeehaus Zum Goldenen", b" " * 23), "invalid-element", "DE43"),
        (CASH.replace(b"051000512345", b"991000512345"), "invalid-element", "DE22"),
        (CASH.replace(b"CAFE00000000017", b"               "), "invalid-element", "DE42"),
        (PURCHASE.replace(b"00501105", b"00591105"), "invalid-element", "DE61"),
        (PURCHASE.replace(b"00501105", b"00571105"), "invalid-element", "DE61"),
        (PURCHASE.replace(b"05Y M V", b"05Y M ?"), "invalid-element", "DE44"),
        (PURCHASE.replace(b"MTI000123456789", b"MTI/00123456789"), "invalid-element", "DE63"),
        (PURCHASE.replace(b"61085000", b"60000000"), "invalid-element", "DE10"),
        (COMPLETION.replace(b"0017", b"0015"), "invalid-element", "DE61"),
        (TIMEOUT_REVERSAL.replace(b"0921141320" + b"00000012345", b"0231141320" + b"00000012345"), "invalid-element",
         "DE90"),
        (TIMEOUT_REVERSAL[:-42] + b"0" * 42, "missing-element", "DE90"),
        (INCREMENT[:-42] + b"0" * 42, "missing-element", "DE90"),
        (PARTIAL_REVERSAL.replace(b"000000000434000000", b"000000001085000000"), "invalid-element", "DE95"),
        (PARTIAL_REVERSAL.replace(b"000000000434000000", b"000000000000000000"), "invalid-element", "DE95"),
        (PARTIAL_REVERSAL.replace(b"000000000434000000", b"D00000000434000000"), "invalid-element", "DE95"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_the_next_message_parses(raw: bytes, reason: str, field: str) -> None:
    assert refused(raw) == (reason, field)
    assert decode(CASH, RECEIVED, tokenizer) == PLAIN


def without(raw: bytes, number: int, content: bytes) -> bytes:
    """`raw` less one element of its first bitmap."""
    bits = int(raw[4:20], 16) & ~(1 << (64 - number))
    return raw[:4] + b"%016X" % bits + raw[20:].replace(content, b"", 1)


@pytest.mark.parametrize(
    ("raw", "number", "content"),
    [
        (CASH, 2, b"164111111111111111"),
        (CASH, 3, b"010000"),
        (CASH, 4, b"000000020000"),
        (CASH, 7, b"0921141320"),
        (CASH, 11, b"000321"),
        (CASH, 14, b"3012"),
        (CASH, 18, b"6011"),
        (CASH, 32, b"0512345"),
        (CASH, 42, b"CAFE00000000017"),
        (CASH, 43, b"Kaffeehaus Zum Goldenen  Wien         AT"),
        (CASH, 49, b"840"),
        (PURCHASE, 51, b"840"),
    ],
)
def test_a_missing_element_is_named(raw: bytes, number: int, content: bytes) -> None:
    assert refused(without(raw, number, content)) == (MalformedReason.MISSING_ELEMENT, f"DE{number}")


def test_a_stand_in_advice_must_say_what_was_decided() -> None:
    silent = without(STAND_IN, 39, b"").replace(b"05TERM", b"TERM")
    assert refused(silent) == (MalformedReason.MISSING_ELEMENT, "DE39")


def test_a_completion_without_a_response_code_is_approved() -> None:
    approved = decode(COMPLETION, RECEIVED, tokenizer)
    assert isinstance(approved, AuthorizationAdvice)
    assert approved.approved


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (CASH.replace(b"Kaffeehaus Zum Goldenen", b"Card 4111-1111 11111111"), "DE43"),
        (PURCHASE.replace(b"015MTI000123456789", b"0164111111111111111"), "DE63"),
    ],
)
def test_the_card_number_is_not_kept_in_another_elements_clothes(raw: bytes, field: str) -> None:
    assert refused(raw) == (MalformedReason.CARD_NUMBER_EXPOSED, field)


def test_the_number_of_another_card_is_not_kept_either() -> None:
    reference = PURCHASE.replace(b"015MTI000123456789", b"0165555555555554444")
    assert refused(reference) == (MalformedReason.CARD_NUMBER_EXPOSED, "DE63")
    named = decode(CASH.replace(b"Kaffeehaus Zum Goldenen", b"Card 5555555555554444  "), RECEIVED, tokenizer)
    assert isinstance(named, AuthorizationRequest)
    assert named.merchant_name == "Card 555555******4444"


@pytest.mark.parametrize("raw", ALL)
def test_the_card_number_is_nowhere_in_the_message(raw: bytes) -> None:
    message = decode(raw, RECEIVED, tokenizer)
    assert not isinstance(message, Malformed)
    assert PAN not in repr(message)
