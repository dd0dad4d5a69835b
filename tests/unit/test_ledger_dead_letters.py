"""A dead letter keeps the record whole, and is the same every time."""

from __future__ import annotations

import base64

from sinks.ledger.dead_letters import MAX_KEPT_BYTES, Rejection, letter
from sinks.ledger.errors import Reason, Unpostable
from tests.ledger_records import Record

CAUSE = Unpostable(Reason.INVALID_FIELD, "expected text", "cause")


def test_the_record_is_kept_whole() -> None:
    made = letter("journal-entries", Rejection(Record(3, 17, 1234, b"acct-1", b"\xff\x00"), CAUSE))
    assert (made.topic, made.partition, made.offset, made.timestamp) == ("journal-entries", 3, 17, 1234)
    assert (made.reason, made.field, made.detail) == ("invalid-field", "cause", "expected text")
    assert base64.b64decode(made.key_base64 or "") == b"acct-1"
    assert base64.b64decode(made.value_base64 or "") == b"\xff\x00"


def test_no_key_and_no_value() -> None:
    made = letter("journal-entries", Rejection(Record(0, 0, 0, None, None), CAUSE))
    assert made.key_base64 is None
    assert made.value_base64 is None


def test_a_value_too_long_for_a_letter_is_left_at_its_offset() -> None:
    """F12: otherwise the broker would refuse the letter, and the sink could never go on."""
    made = letter("journal-entries", Rejection(Record(0, 0, 0, None, b"x" * (MAX_KEPT_BYTES + 1)), CAUSE))
    assert made.value_base64 is None
    assert "600001 bytes left out" in made.detail
