"""What follows from decisions comes back as it was, whatever is in it; from damaged bytes it never comes in another
way than as an error that names it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from topics.transport import redo
from topics.transport.redo import UnreadableRedo, Work

TOPICS = st.text(min_size=1, max_size=20)
CONTENT = st.binary(max_size=300)
WORKS = st.lists(
    st.builds(
        Work,
        st.dictionaries(TOPICS, st.integers(0, 2**63 - 1), max_size=5),
        st.lists(st.tuples(CONTENT, CONTENT), max_size=5),
        st.dictionaries(TOPICS, st.lists(st.tuples(st.none() | CONTENT, CONTENT), max_size=5), max_size=4),
    ),
    max_size=4,
)
SAMPLE = redo.encode([Work({"authorizations": 7}, [(b"acct-1", b"row")], {"journal-entries": [(None, b"entry")]})])


@given(WORKS)
def test_what_was_written_is_read(works: list[Work]) -> None:
    read = redo.decode(redo.encode(works))
    assert read == works
    for (_key, row), (_same, original) in zip(
        (row for work in read for row in work.rows), (row for work in works for row in work.rows), strict=True
    ):
        assert type(row) is type(original), "rows are written to the store as they are"
    assert sum(work.size for work in read) == sum(work.size for work in works)
    assert sum(work.value_bytes for work in read) <= len(redo.encode(works))


@given(WORKS, st.data())
def test_what_was_cut_off_is_unreadable(works: list[Work], data: st.DataObject) -> None:
    content = redo.encode(works)
    assert _read(content[: data.draw(st.integers(0, len(content) - 1))]) is None


@given(st.dictionaries(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255), max_size=4))
@example({SAMPLE.index(b"zations"): 0xFF})
def test_damage_is_told_in_one_line_or_is_something_else_that_can_be_read(damage: dict[int, int]) -> None:
    content = bytearray(SAMPLE)
    for at, byte in damage.items():
        content[at] = byte
    read = _read(bytes(content))
    assert read is None or all(isinstance(work, Work) for work in read)


@given(st.binary(max_size=200))
def test_so_is_anything_else(content: bytes) -> None:
    read = _read(b"\x01" + content)
    assert read is None or all(isinstance(work, Work) for work in read)


def _read(content: bytes) -> list[Work] | None:
    """None: it says itself, in one line, that it cannot be read."""
    try:
        return redo.decode(content)
    except UnreadableRedo as refused:
        (line,) = str(refused).splitlines()
    assert line.startswith("otb-redo")
    return None
