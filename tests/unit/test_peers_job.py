"""The minimal authorisation job: its rules, and that the peers written in Python agree on them."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from loadtest.peers import job, plain_faust
from loadtest.peers.quix import worker as quix


def _request(number: int, amount: int) -> job.Request:
    return job.Request(f"r{number}", "a", amount)


def test_a_request_is_approved_if_it_fits_to_the_last_unit() -> None:
    row = job.Row()
    assert job.answer(row, _request(1, job.LIMIT)) == (job.Answer(True, 0), True)
    assert job.answer(row, _request(2, 1)) == (job.Answer(False, 0), True)
    assert row.held == job.LIMIT


def test_a_repeat_is_answered_alike_and_changes_nothing() -> None:
    row = job.Row()
    first, _changed = job.answer(row, _request(1, 300))
    job.answer(row, _request(2, 500))
    before = msgspec.json.encode(row)
    assert job.answer(row, _request(1, 999_999)) == (first, False)
    assert msgspec.json.encode(row) == before


def test_the_oldest_answer_is_forgotten_first() -> None:
    row = job.Row()
    for number in range(job.KEPT + 1):
        job.answer(row, _request(number, 1))
    assert list(row.answers) == [f"r{number}" for number in range(1, job.KEPT + 1)]
    assert job.answer(row, _request(0, 1)) == (job.Answer(True, job.LIMIT - job.KEPT - 2), True)


def test_rows_share_nothing() -> None:
    job.answer(job.Row(), _request(1, 5))
    assert job.Row().answers == {}


class _QuixState:
    """The state of one key as Quix Streams keeps it: encoded between two messages."""

    def __init__(self) -> None:
        self._stored: dict[str, bytes] = {}

    def get(self, key: str) -> Any:
        return msgspec.json.decode(self._stored[key]) if key in self._stored else None

    def set(self, key: str, value: Any) -> None:
        self._stored[key] = msgspec.json.encode(value)


@pytest.mark.parametrize("seed", range(20))
def test_all_peers_in_python_decide_alike(seed: int) -> None:
    source = random.Random(seed)
    reference, faust_row, quix_state = job.Row(), plain_faust.new_row(), _QuixState()
    for _ in range(300):
        request = _request(source.randrange(60), source.randrange(1, job.LIMIT // 20))
        as_dict = msgspec.to_builtins(request)
        expected = job.addressed(request, job.answer(reference, request)[0])
        given, _changed = plain_faust.answer(faust_row, plain_faust.Request(**as_dict))
        assert {"request_id": request.request_id, "account_id": "a", **given} == msgspec.to_builtins(expected)
        assert quix.decide(as_dict, quix_state) == msgspec.to_builtins(expected)
    assert faust_row == msgspec.to_builtins(reference)
    assert quix_state.get("row") == msgspec.to_builtins(reference)
    assert (quix.LIMIT, quix.KEPT) == (job.LIMIT, job.KEPT)


def test_the_java_source_has_the_same_constants() -> None:
    from loadtest.peers.java import SOURCE  # noqa: PLC0415

    source = SOURCE.read_text().replace("_", "")
    assert f"LIMIT = {job.LIMIT};" in source
    assert f"KEPT = {job.KEPT};" in source
