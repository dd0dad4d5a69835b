"""Frames however the network cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.gateway.framing import MAX_FRAME, BrokenStream, Frames, Length, frame

lengths = st.sampled_from(list(Length))


@given(st.lists(st.binary(min_size=1, max_size=400), max_size=8), lengths, st.data())
def test_split_and_glued_frames_come_out_whole(messages: list[bytes], length: Length, data: st.DataObject) -> None:
    stream = b"".join(frame(message, length) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    frames = Frames(length)
    found: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += frames.feed(stream[start:end])
    assert found == messages
    assert not frames.unfinished


@pytest.mark.parametrize(
    ("length", "prefix"),
    [(Length.BINARY_2, b"\x00\x05"), (Length.BINARY_4, b"\x00\x00\x00\x05"), (Length.ASCII_4, b"0005")],
)
def test_how_the_length_is_written(length: Length, prefix: bytes) -> None:
    assert frame(b"12345", length) == prefix + b"12345"
    assert list(Frames(length).feed(prefix + b"12345")) == [b"12345"]


def test_frames_of_nothing_are_skipped() -> None:
    assert list(Frames(Length.BINARY_2).feed(b"\0\0" + frame(b"x", Length.BINARY_2) + b"\0\0")) == [b"x"]


@pytest.mark.parametrize("length", list(Length))
def test_the_longest_frame_is_taken(length: Length) -> None:
    longest = b"9" * MAX_FRAME
    assert list(Frames(length).feed(frame(longest, length))) == [longest]


@pytest.mark.parametrize(
    ("length", "prefix"),
    [
        (Length.BINARY_2, (MAX_FRAME + 1).to_bytes(2, "big")),
        (Length.BINARY_4, b"\x00\x01\x00\x00"),
        (Length.BINARY_4, b"\xff\xff\xff\xff"),
        (Length.ASCII_4, b"12 4"),
        (Length.ASCII_4, b"-001"),
        (Length.ASCII_4, b"\xb2123"),  # a superscript two is a digit for str, not here
    ],
)
def test_what_is_no_length_breaks_the_stream_after_the_frames_before_it(length: Length, prefix: bytes) -> None:
    frames = Frames(length).feed(frame(b"good", length) + prefix)
    assert next(frames) == b"good"
    with pytest.raises(BrokenStream, match="length"):
        next(frames)


def test_a_frame_that_never_ends_is_seen() -> None:
    frames = Frames(Length.BINARY_2)
    assert list(frames.feed(b"\x00\x05123")) == []
    assert frames.unfinished
