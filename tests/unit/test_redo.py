"""What follows from decisions, as bytes in a header. Whoever takes a partition over has to read what another worker,
perhaps of another release, has written."""

from __future__ import annotations

import pytest

from topics.transport import redo
from topics.transport.redo import UnreadableRedo, Work

WORK = Work(
    {"authorizations": 7, "clock": 2**40},
    [(b"acct-1", b"row"), (b"acct-2", b"")],
    {"journal-entries": [(b"acct-1", b"first"), (None, b"second")], "dead-letters": [(None, b"")]},
)

VERSION_1 = (
    b"\x01"  # the version
    b"\x92"  # two works
    b"\x93"  # of three parts each
    b"\x81\xaeauthorizations\x07"
    b"\x91\x92\xc4\x06acct-1\xc4\x03row"
    b"\x82\xafjournal-entries\x92\x92\xc4\x06acct-1\xc4\x05first\x92\xc0\xc4\x06second"
    b"\xacdead-letters\x91\x92\xc0\xc4\x00"
    b"\x93\x81\xa5clock\xcf\x00\x00\x01\x00\x00\x00\x00\x00\x90\x80"
)


@pytest.mark.parametrize("works", [[], [WORK], [WORK, Work({"clock": 1}, [], {})]], ids=len)
def test_what_was_written_is_read(works: list[Work]) -> None:
    assert redo.decode(redo.encode(works)) == works


def test_version_1_stays_readable() -> None:
    """To the byte: batches of an older release may stand in the log when a newer one takes a partition over."""
    expected = [
        Work(
            {"authorizations": 7},
            [(b"acct-1", b"row")],
            {"journal-entries": [(b"acct-1", b"first"), (None, b"second")], "dead-letters": [(None, b"")]},
        ),
        Work({"clock": 2**40}, [], {}),
    ]
    assert redo.decode(VERSION_1) == expected
    assert redo.encode(expected) == VERSION_1, "an older release of version 1 has to read it as well"


def test_a_part_that_a_later_release_of_version_1_adds_is_skipped() -> None:
    assert redo.decode(b"\x01\x91\x94\x81\xa5clock\x03\x90\x80\xa5extra") == [Work({"clock": 3}, [], {})]


@pytest.mark.parametrize(("content", "version"), [(b"\x02" + VERSION_1[1:], "02"), (b"\xff", "ff"), (b"", "none")])
def test_another_version_is_named(content: bytes, version: str) -> None:
    with pytest.raises(UnreadableRedo) as refused:
        redo.decode(content)
    assert str(refused.value) == f"otb-redo of version {version}; this release reads 01"


@pytest.mark.parametrize(
    "damaged",
    [
        VERSION_1[:1],
        VERSION_1[:-1],
        VERSION_1 + b"\0",
        VERSION_1.replace(b"\xc4\x03row", b"\xa3row"),
        VERSION_1.replace(b"\xc4\x03row", b"\xc0"),
        VERSION_1.replace(b"tions\x07", b"tions\xc0"),
        VERSION_1.replace(b"\x93\x81\xae", b"\x92\x81\xae"),
    ],
    ids=["nothing", "cut", "longer", "a row of text", "no row", "no offset", "a part less"],
)
def test_damage_is_told_in_one_line(damaged: bytes) -> None:
    assert_unreadable(damaged)


@pytest.mark.parametrize(
    "damaged",
    [
        VERSION_1.replace(b"authorizations", b"author\xffzations"),
        b"\x01\x91\x94\x80\x90\x80" + b"\x91" * 5000 + b"\xc0",
    ],
    ids=["a name that is no text", "nested without end"],
)
def test_damage_for_which_the_decoder_has_another_error_is_told_too(damaged: bytes) -> None:
    """Else the worker would end for "a transaction of unknown outcome", and be started again for ever."""
    assert_unreadable(damaged)


def assert_unreadable(content: bytes) -> None:
    with pytest.raises(UnreadableRedo) as refused:
        redo.decode(content)
    assert str(refused.value).startswith("otb-redo")
    assert "\n" not in str(refused.value)


def test_its_size_counts_records_and_their_content() -> None:
    assert WORK.size == 5
    assert WORK.value_bytes == len(b"row") + len(b"first") + len(b"second")
    assert (Work({"clock": 1}, [], {}).size, Work({"clock": 1}, [], {}).value_bytes) == (0, 0)
