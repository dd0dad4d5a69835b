"""What is prepared before a run, and where each record goes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import islice

import orjson
import pytest

from loadtest.spool import CHUNK, Group, Spool, encode, grouped
from loadtest.traffic import Labelled, Traffic
from models.messages import AuthorizationRequest, PaymentReceived, Reversal
from topics.keys import EmptyKey, partition_for


def request(reference: str, account_id: str = "acct-1001") -> AuthorizationRequest:
    return AuthorizationRequest(
        "authorization-request", 1, reference, account_id, "card", 203012, 100, "USD", "m1", "Café ☕", "US", 5411,
        "chip", True, 1_767_225_600_000,
    )  # fmt: skip


def reversal(reference: str) -> Reversal:
    return Reversal("reversal", 1, f"undo-{reference}", reference, "acct-1001", 1_767_225_600_001)


def payment() -> PaymentReceived:
    return PaymentReceived("payment-received", 1, "pay-1", "acct-1001", 5, "USD", 1_767_225_600_002)


def labelled(*messages: AuthorizationRequest | Reversal | PaymentReceived) -> Iterator[Labelled]:
    return (Labelled(message) for message in messages)


@pytest.fixture
def spool() -> Iterator[Spool]:
    spool = Spool()
    yield spool
    spool.close()


def test_follow_ups_go_right_behind_the_request_before_them() -> None:
    groups = list(grouped(labelled(request("a"), reversal("a"), payment(), request("b")), partitions=4))
    assert [[record.topic for record in group] for group in groups] == [
        ["authorizations", "authorizations", "payments"],
        ["authorizations"],
    ]
    assert [[record.reference for record in group] for group in groups] == [["a", None, None], ["b"]]


def test_a_retry_is_a_follow_up_and_not_measured_again() -> None:
    stream = [Labelled(request("a")), Labelled(request("b")), Labelled(request("a"), retry=True)]
    groups = list(grouped(stream, partitions=4))
    assert [len(group) for group in groups] == [1, 2]
    assert groups[1][1].value == groups[0][0].value
    assert groups[1][1].reference is None


def test_what_precedes_the_first_request_is_left_out() -> None:
    groups = list(grouped(labelled(payment(), request("a")), partitions=4))
    assert [[record.topic for record in group] for group in groups] == [["authorizations"]]


def test_f9_f10_records_go_where_murmur2_says_not_where_librdkafka_would_put_them() -> None:
    record = encode(request("a"), partitions=12)
    assert record.key == b"acct-1001"
    assert record.partition == partition_for(b"acct-1001", 12)
    assert record.partition != zlib.crc32(b"acct-1001") % 12


def test_f9_an_empty_account_id_is_refused() -> None:
    with pytest.raises(EmptyKey):
        encode(request("a", account_id=""), partitions=12)


def test_a_record_holds_the_message_as_json() -> None:
    content = orjson.loads(encode(request("a"), partitions=1).value)
    assert content["network_reference"] == "a"
    assert content["merchant_name"] == "Café ☕"
    assert (content["type"], content["version"]) == ("authorization-request", 1)


def test_a_spool_gives_back_what_it_was_given_over_many_chunks(spool: Spool) -> None:
    traffic = Traffic(seed=3, accounts=50, run="t")
    total = 2 * CHUNK + 7
    groups: list[Group] = list(islice(grouped(traffic.stream(), 4), total))
    progress: list[int] = []
    spool.extend(groups, progress.append)
    assert spool.groups == total
    assert progress == [CHUNK, 2 * CHUNK, total]
    assert list(spool) == groups
    assert list(spool) == groups, "a second reading starts at the first group again"


def test_a_cleared_spool_is_empty(spool: Spool) -> None:
    spool.extend(grouped(labelled(request("a")), 4))
    spool.clear()
    assert (spool.groups, list(spool)) == (0, [])
