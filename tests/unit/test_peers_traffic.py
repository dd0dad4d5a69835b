"""The requests of a comparison: the same for every peer, with repeats in them, and no two laps alike."""

from __future__ import annotations

from itertools import islice

import msgspec

from loadtest.peers.job import Request
from loadtest.peers.traffic import REPEAT_DISTANCE, REPEAT_EVERY, endless, greetings, requests
from topics.keys import partition_for

COUNT = 3 * REPEAT_EVERY


def test_the_same_arguments_give_the_same_records() -> None:
    assert requests("x", COUNT, 50, 4) == requests("x", COUNT, 50, 4)


def test_each_record_is_a_request_on_its_accounts_partition() -> None:
    for record in requests("x", COUNT, 50, 4):
        request = msgspec.json.decode(record.value, type=Request)
        assert request.account_id.encode() == record.key
        assert record.partition == partition_for(record.key, 4)
        assert request.amount > 0


def test_one_record_in_a_hundred_repeats_an_earlier_one_and_is_not_timed() -> None:
    records = requests("x", COUNT, 50, 4)
    repeats = [number for number, record in enumerate(records) if record.request_id is None]
    assert repeats == [REPEAT_EVERY - 1, 2 * REPEAT_EVERY - 1, 3 * REPEAT_EVERY - 1]
    assert all(records[number].value == records[number - REPEAT_DISTANCE].value for number in repeats)
    timed = [record.request_id for record in records if record.request_id is not None]
    assert len(set(timed)) == len(timed)


def test_every_lap_has_new_request_ids_and_is_else_the_same() -> None:
    records = requests("flood", COUNT, 50, 4)
    laps = list(islice(endless("flood", records), 2 * COUNT))
    first, second = [[msgspec.json.decode(value, type=Request) for _p, _k, value in laps[i : i + COUNT]]
                     for i in (0, COUNT)]  # fmt: skip
    assert not {request.request_id for request in first} & {request.request_id for request in second}
    assert [(r.account_id, r.amount) for r in first] == [(r.account_id, r.amount) for r in second]
    assert first[REPEAT_EVERY - 1] == first[REPEAT_EVERY - 1 - REPEAT_DISTANCE]
    assert [(p, k) for p, k, _v in laps[COUNT:]] == [(record.partition, record.key) for record in records]


def test_greetings_reach_every_partition_once() -> None:
    assert sorted(record.partition for record in greetings(7)) == list(range(7))
    assert all(record.partition == partition_for(record.key, 7) for record in greetings(7))
