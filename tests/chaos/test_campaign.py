"""The fault campaign (tests/chaos/campaign): its schedule, its checker against planted faults, and a short one.

`make chaos` runs a long one.
"""

from __future__ import annotations

import base64
import copy
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.embedded.kafka import SHORT_LIVED
from models.messages import AccountUpdate, JournalEntry, Posting
from tables import rows
from tests.chaos.campaign import checker, conduct, page, story
from tests.chaos.campaign.__main__ import report
from tests.chaos.campaign.clock import ProducerClock, wrongly_stamped
from tests.chaos.campaign.conduct import PATIENCE_S, Campaign
from tests.chaos.campaign.faults import CLUSTER, REGISTRY, Damage, chosen
from tests.chaos.campaign.faults.clocks import ahead
from tests.chaos.campaign.faults.cluster import COORDINATOR_PARTITIONS, coordinator_partition
from tests.chaos.campaign.faults.reassignment import reassign
from tests.chaos.campaign.figures import Progress
from tests.chaos.campaign.history import ALL, DECISIONS, INPUTS, UPDATES, History, Record
from tests.chaos.campaign.link import END_TRANSACTION, Link
from tests.chaos.campaign.load import Load
from tests.chaos.campaign.pairing import Pair, is_from_the_future, is_poison, merged, other_choice
from tests.chaos.campaign.reader import Place, digest
from tests.chaos.campaign.result import Result, Trial
from tests.chaos.campaign.schedule import Appointment, schedule
from tests.chaos.campaign.watch import Watch
from tests.chaos.campaign.world import World
from tests.support import messages as say
from tests.support.auditor import Auditor
from tests.support.engine import Bench
from tests.support.story import just_now

LASTING = {"a": 5.0, "b": 10.0, "c": 20.0}
ACCOUNT = "c0-acct-7"
MESSAGES = 1500
SLICE = 500
"""A backlog, as after an outage: an account has several messages in a slice, which decides payments first."""
AT = just_now() + 3_600_000
"""When everything comes: the story is of an hour ago."""


# -- the schedule


def test_a_schedule_is_a_function_of_seed_and_length() -> None:
    assert schedule(7, 300, LASTING) == schedule(7, 300, dict(reversed(LASTING.items())))
    assert schedule(7, 300, LASTING) != schedule(8, 300, LASTING)
    assert schedule(7, 300, LASTING) != schedule(7, 301, LASTING)


@pytest.mark.parametrize("seed", range(20))
def test_faults_follow_one_another_within_the_length(seed: int) -> None:
    planned = schedule(seed, 200, LASTING)
    assert len(planned) > 5
    for one, next_ in pairwise(planned):
        assert next_.at_s > one.at_s + LASTING[one.fault]
    assert planned[-1].at_s + LASTING[planned[-1].fault] <= 200


@pytest.mark.parametrize("seed", range(20))
def test_every_fault_comes_once_before_any_comes_again(seed: int) -> None:
    names = [appointment.fault for appointment in schedule(seed, 200, LASTING)]
    for start in range(0, len(names) - len(LASTING), len(LASTING)):
        assert set(names[start : start + len(LASTING)]) == set(LASTING)


def test_a_schedule_without_faults_or_without_time() -> None:
    assert schedule(1, 3, LASTING) == []
    with pytest.raises(ValueError, match="at least one fault"):
        schedule(1, 300, {})


def test_faults_are_chosen_by_name() -> None:
    assert list(chosen("sink-killed, worker-killed")) == ["sink-killed", "worker-killed"]
    assert chosen(None) == REGISTRY
    assert all(name == fault.name and fault.what and fault.lasts_s > 0 for name, fault in REGISTRY.items())
    with pytest.raises(ValueError, match="there is no fault 'earthquake'"):
        chosen("earthquake")


def test_a_cluster_has_faults_of_its_own() -> None:
    assert chosen(None, brokers=3) == CLUSTER
    assert not set(CLUSTER) & set(REGISTRY)
    assert all(name == fault.name and fault.what and fault.lasts_s > 0 for name, fault in CLUSTER.items())
    with pytest.raises(ValueError, match="there is no fault 'broker-killed'; there are one-broker-killed"):
        chosen("broker-killed", brokers=3)


@pytest.mark.parametrize(("name", "hashed"), [("hello", 99162322), ("polygenelubricants", 0)])
def test_a_coordinator_is_found_by_the_hash_that_java_makes(name: str, hashed: int) -> None:
    """The first is in many a textbook; the second has the smallest number there is, which Kafka takes for 0."""
    assert coordinator_partition(name) == hashed % COORDINATOR_PARTITIONS


def test_a_reassignment_that_is_refused_is_said(kafka: str, topic_prefix: str) -> None:
    """To a broker that there is, and to one that there is not."""
    topic = f"{topic_prefix}-reassigned"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(60)
    [broker] = admin.list_topics(topic, 10).brokers
    reassign(kafka, {(topic, 0): [broker], (topic, 1): [broker]})
    with pytest.raises(AssertionError, match=f"refused: {topic} 1: .* broker {broker + 98}, "):
        reassign(kafka, {(topic, 0): [broker], (topic, 1): [broker + 98]})


# -- the load


def test_one_record_in_a_hundred_is_poison_and_no_account_is_in_two_chapters() -> None:
    sent = list(story.told(seed=3, chapters=2))
    poison = [record for record in sent if record.key.startswith(story.POISON_KEY)]
    assert 0.7 < 100 * len(poison) / len(sent) < 1.3
    bodies = [orjson.loads(record.value or b"") for record in sent if not record.key.startswith(story.POISON_KEY)]
    asked = [body for body in bodies if body.get("kind") == "refund"]
    assert sum(record.topic == "authorizations" for record in sent) - len(poison) == 2 * story.CHAPTER + len(asked)
    types = Counter(body["type"] for body in bodies)
    assert all(types[name] > 250 for name in ("payment-received", "presentment", "refund", "dispute-event"))
    stages = Counter(body["stage"] for body in bodies if body["type"] == "dispute-event")
    assert len(stages) == 5
    assert min(stages.values()) > 10
    assert len({record.key for record in poison}) == len(poison)
    accounts = {opening.account_id.encode() for opening in story.accounts(2)}
    assert {record.key for record in sent} - {record.key for record in poison} == accounts


# -- the checker: a right history, and what it says when something is planted in it


@dataclass
class Told:
    """A history made by the real engine without Kafka; `earlier` are rows from before its last messages."""

    history: History
    earlier: dict[str, bytes]


@pytest.fixture(scope="module")
def made() -> Told:
    bench = Bench()
    history = History(0, {topic: [] for topic in INPUTS}, {UPDATES: [], DECISIONS: []}, [], {}, [])
    records = [story.record(opening) for opening in story.accounts(1)]
    records += [_skewed(number, record) for number, record in enumerate(islice(story.told(5, 1), MESSAGES))]
    earlier: dict[str, bytes] = {}
    for start in range(0, len(records), SLICE):
        if start > len(records) - 700 and not earlier:
            earlier = {key.decode(): row for (_partition, key), row in bench.rows.items()}
        _decide(bench, history, records[start : start + SLICE], AT + start)
    history.rows |= {key.decode(): row for (_partition, key), row in bench.rows.items()}
    history.__post_init__()
    return Told(history, earlier)


def _skewed(number: int, record: story.Outgoing) -> story.Outgoing:
    """Some in the middle are stamped by clocks that are wrong: behind, ahead, and too far ahead."""
    if record.poison or not 500 < number < 1000 or number % 4:
        return record
    return wrongly_stamped(record, (-600_000, 200_000, 900_000)[number % 3], AT)


def _decide(bench: Bench, history: History, slice_: list[story.Outgoing], at: int) -> None:
    """One slice through the engine, which decides payments before requests; all that comes of it into the history. The
    broker takes its replies at this time, those to requests a little before the others."""
    for number, record in enumerate(slice_, bench.offset + 1):
        history.inputs[record.topic].append(Record(number, AT, record.key, record.value))
    before = len(bench.sent)
    bench.run(*[(record.topic, record.key, record.value) for record in slice_], at=AT)
    for topic, body in bench.sent[before:]:
        if topic in history.replies:
            arrived = at + (topic == UPDATES)
            history.replies[topic].append(Record(before, arrived, body["account_id"].encode(), orjson.dumps(body)))
        elif topic == "journal-entries":
            history.entries.append(_entry(body))
        elif topic == "dead-letters":
            history.dead_letters.append(body)


def _entry(body: dict[str, Any]) -> JournalEntry:
    return JournalEntry(**(body | {"postings": [Posting(**posting) for posting in body["postings"]]}))


@pytest.fixture
def told(made: Told) -> Told:
    return copy.deepcopy(made)


def test_a_right_history_passes(told: Told) -> None:
    poison = checker.poisoned(told.history)
    assert poison > 10
    assert checker.check(told.history) == 200 + MESSAGES - poison
    assert len(told.history.by_account[ACCOUNT]) > 3
    assert len(checker.figures(told.history)) == 200


def _first_entry(told: Told) -> int:
    return next(n for n, entry in enumerate(told.history.entries) if entry.account_id == ACCOUNT)


def _decisions(told: Told) -> list[Record]:
    return told.history.replies[DECISIONS]


def _decision(told: Told) -> int:
    """Where the account's first approval is."""
    return next(
        n for n, each in enumerate(_decisions(told)) if each.key == ACCOUNT.encode() and b'"approved"' in each.value
    )  # type: ignore[operator]


def drop_an_entry(told: Told) -> None:
    del told.history.entries[_first_entry(told)]


def double_a_hold(told: Told) -> None:
    number = _first_entry(told)
    told.history.entries.insert(number, told.history.entries[number])


def raise_a_hold(told: Told) -> None:
    entry = told.history.entries[_first_entry(told)]
    entry.postings = [replace(posting, amount=2 * posting.amount) for posting in entry.postings]


def unbalance_an_entry(told: Told) -> None:
    entry = told.history.entries[_first_entry(told)]
    entry.postings[0].amount += 1


def double_a_decision(told: Told) -> None:
    number = _decision(told)
    _decisions(told).insert(number, _decisions(told)[number])


def drop_a_decision(told: Told) -> None:
    del _decisions(told)[_decision(told)]


def decline_what_was_approved(told: Told) -> None:
    number = _decision(told)
    body = orjson.loads(_decisions(told)[number].value or b"")
    body |= {"outcome": "declined", "reason": "insufficient-open-to-buy", "approved_amount": 0, "approval_code": None}
    _decisions(told)[number] = _decisions(told)[number]._replace(value=orjson.dumps(body))


def shed_too_early(told: Told) -> None:
    _shed(told, waited_ms=1500, took_ms=1600)


def shed_what_had_not_waited(told: Told) -> None:
    _shed(told, waited_ms=1600, took_ms=1599)


def _shed(told: Told, waited_ms: int, took_ms: int) -> None:
    """The account's first approval becomes a decline for having waited."""
    number = _decision(told)
    body = orjson.loads(_decisions(told)[number].value or b"")
    body |= {"outcome": "declined", "reason": "timed-out", "detail": str(waited_ms), "approval_code": None}
    body |= {"open_to_buy": body["open_to_buy"] + body["approved_amount"], "approved_amount": 0}
    reply = _decisions(told)[number] = _decisions(told)[number]._replace(value=orjson.dumps(body))
    requests, reference = told.history.inputs["authorizations"], body["network_reference"].encode()
    asked = next(n for n, each in enumerate(requests) if reference in (each.value or b"") and each.key == reply.key)
    requests[asked] = requests[asked]._replace(at=reply.at - took_ms)


def keep_a_stale_row(told: Told) -> None:
    assert told.earlier[ACCOUNT] != told.history.rows[ACCOUNT]
    told.history.rows[ACCOUNT] = told.earlier[ACCOUNT]


def lose_a_row(told: Told) -> None:
    del told.history.rows[ACCOUNT]


PLANTED: list[tuple[Callable[[Told], None], str]] = [
    (drop_an_entry, "sequences"),
    (double_a_hold, "sequences"),
    (raise_a_hold, "entries from 1"),
    (unbalance_an_entry, "balances"),
    (double_a_decision, "authorizations"),
    (drop_a_decision, "authorizations"),
    (decline_what_was_approved, "engine"),
    (shed_too_early, "engine"),
    (shed_what_had_not_waited, "waited for what it says"),
    (keep_a_stale_row, ACCOUNT),
    (lose_a_row, "rows in the changelog"),
]


@pytest.mark.parametrize(("plant", "said"), PLANTED, ids=lambda each: getattr(each, "__name__", ""))
def test_a_planted_fault_is_found_with_the_accounts_history(
    told: Told, plant: Callable[[Told], None], said: str
) -> None:
    plant(told)
    told.history.__post_init__()
    with pytest.raises(checker.Difference, match=said) as found:
        checker.check(told.history)
    assert "authorizations " in str(found.value), "what was asked is told"
    assert "authorization-decisions " in str(found.value), "what was answered is told"


def test_the_last_decision_lost_or_given_twice_is_found(told: Told) -> None:
    last = _decisions(told).pop()
    with pytest.raises(checker.Difference, match="no reply to authorizations"):
        checker.check(told.history)
    _decisions(told).extend([last, last])
    with pytest.raises(checker.Difference, match="a reply too many"):
        checker.check(told.history)


def test_a_dead_letter_lost_doubled_or_changed_is_found(told: Told) -> None:
    letter = _letter_of_poison(told)
    told.history.dead_letters.append(letter)
    with pytest.raises(checker.Difference, match="has 2 dead letters"):
        checker.check(told.history)
    told.history.dead_letters = [each for each in told.history.dead_letters if each is not letter]
    with pytest.raises(checker.Difference, match="has 0 dead letters"):
        checker.check(told.history)
    told.history.dead_letters.append(letter | {"value_base64": "AAAA"})
    with pytest.raises(checker.Difference, match="not its record"):
        checker.check(told.history)


def _letter_of_poison(told: Told) -> dict[str, Any]:
    poison = _base64(story.POISON_KEY)[:8]
    letters = told.history.dead_letters
    return next(each for each in letters if each["value_base64"] and each["key_base64"].startswith(poison))


def test_a_refund_or_dispute_that_went_wrong_is_found(told: Told) -> None:
    """Each kind of reply, changed, is another than the auditor's; a refused dispute must be in the dead letters."""
    updates = told.history.replies[UPDATES]
    for type_, outcome, planted in (
        ("refund", "applied", "posted-unlinked"),
        ("refund", "partly-suspended", "applied"),
        ("dispute-event", "applied", "illegal-dispute-stage"),
        ("dispute-event", "amount-exceeds-purchase", "unknown-purchase"),
    ):
        number, body = next(
            (n, body)
            for n, body in enumerate(orjson.loads(each.value or b"") for each in updates)
            if (body["cause"], body["outcome"]) == (type_, outcome)
        )
        right = updates[number]
        updates[number] = right._replace(value=orjson.dumps(body | {"outcome": planted}))
        with pytest.raises(checker.Difference, match=f"account {body['account_id']}: "):
            checker.check(told.history)
        updates[number] = right
    parked = next(each for each in told.history.dead_letters if each["reason"] == "illegal-dispute-stage")
    told.history.dead_letters.remove(parked)
    with pytest.raises(checker.Difference, match="answered illegal-dispute-stage, has 0 dead letters"):
        checker.check(told.history)


def test_a_message_in_the_dead_letters_is_found(told: Told) -> None:
    letter = _letter_of_poison(told)
    record = next(each for each in told.history.inputs["authorizations"] if each.key == ACCOUNT.encode())
    told.history.dead_letters.append(
        letter
        | {"offset": record.offset, "reason": "processing-error"}
        | {"key_base64": _base64(record.key), "value_base64": _base64(record.value)}
    )
    with pytest.raises(checker.Difference, match="parked as processing-error"):
        checker.check(told.history)


def test_every_message_that_was_refused_is_found_and_the_rest_is_checked(told: Told) -> None:
    """A refused request is declined, any other message not answered; without care it would look as if all later
    replies were wrong."""
    assert checker.findings(told.history) == []
    requests, declines = told.history.inputs["authorizations"], told.history.replies["authorization-decisions"]
    for number in (100, 300):
        message = orjson.loads(next(each for each in requests if each.key == ACCOUNT.encode()).value or b"")
        message["network_reference"] = f"refused-{number}"
        record = Record(10**6 + number, AT + number, ACCOUNT.encode(), orjson.dumps(message))
        requests.insert(number, record)
        told_of_it = {"type": "authorization-decision", "reason": "system-malfunction"}
        decline = told_of_it | {"network_reference": f"refused-{number}"}
        declines.insert(number, Record(10**6 + number, AT + number, ACCOUNT.encode(), orjson.dumps(decline)))
        told.history.dead_letters.append(
            {"topic": "authorizations", "offset": record.offset, "reason": "processing-error"}
            | {"key_base64": _base64(record.key), "value_base64": _base64(record.value)}
        )
    found = checker.findings(told.history)
    assert [finding.at for finding in found] == [AT + 100, AT + 300]
    drop_an_entry(told)
    told.history.__post_init__()
    assert len(checker.findings(told.history)) == 3
    del declines[100]
    assert "refused-100 was refused, but not declined" in checker.findings(told.history)[2].what


def _early(told: Told, type_: str) -> Record:
    """A message from the future of this type."""
    return next(
        record
        for records in told.history.inputs.values()
        for record in records
        if is_from_the_future(record) and f'"type":"{type_}"'.encode() in (record.value or b"")
    )


def test_a_message_from_the_future_that_is_not_parked_as_such_is_found(told: Told) -> None:
    assert checker.poisoned(told.history) > 40, "most of it is from the future"
    early = _early(told, "authorization-request")
    letter = next(
        each
        for each in told.history.dead_letters
        if (each["topic"], each["offset"]) == ("authorizations", early.offset)
    )
    letter["reason"] = "malformed"
    with pytest.raises(checker.Difference, match="from the future, and parked as malformed"):
        checker.check(told.history)
    told.history.dead_letters.remove(letter)
    with pytest.raises(checker.Difference, match=f"poison at authorizations {early.offset} has 0 dead letters"):
        checker.check(told.history)


def test_a_request_from_the_future_that_is_not_declined_or_even_approved_is_found(told: Told) -> None:
    early = _early(told, "authorization-request")
    number = next(n for n, each in enumerate(_decisions(told)) if b'"malformed"' in (each.value or b""))
    refusal = _decisions(told)[number]
    del _decisions(told)[number]
    with pytest.raises(checker.Difference, match=f"authorizations {early.offset} is from the future and was answered"):
        checker.check(told.history)
    approved = orjson.loads(refusal.value or b"") | {"outcome": "approved", "approved_amount": 100, "reason": None}
    _decisions(told).insert(number, refusal._replace(value=orjson.dumps(approved)))
    with pytest.raises(checker.Difference, match="is from the future and was answered"):
        checker.check(told.history)


def test_a_message_within_the_limit_that_was_refused_is_found(told: Told) -> None:
    """It has no reply, whatever its dead letter says."""
    decided = next(n for n, each in enumerate(_decisions(told)) if each.key == ACCOUNT.encode())
    del _decisions(told)[decided]
    with pytest.raises(checker.Difference, match="authorizations"):
        checker.check(told.history)


def test_time_that_runs_backwards_is_found(told: Told) -> None:
    """A message stamped before what came before it is decided at the time of that, never at its own."""
    requests = [each for each in told.history.inputs["authorizations"] if not is_poison(each)]
    bodies = [orjson.loads(each.value or b"") for each in requests]
    asked = {(body["account_id"], body["network_reference"]): body["transmitted_at"] for body in bodies}
    number, body, stamped = next(
        (number, body, at)
        for number, body in enumerate(orjson.loads(each.value or b"") for each in _decisions(told))
        if (at := asked.get((body["account_id"], body["network_reference"]), 2**53)) < body["decided_at"]
        and body.get("outcome") == "approved"
    )
    changed = orjson.dumps(body | {"decided_at": stamped})
    _decisions(told)[number] = _decisions(told)[number]._replace(value=changed)
    with pytest.raises(checker.Difference, match=f"account {body['account_id']}: "):
        checker.check(told.history)


def test_a_hold_that_was_left_behind_is_found(told: Told) -> None:
    """The sum is right: one of the account's holds has the other's money, or another's name."""
    row: Any = rows.decode(told.history.rows[ACCOUNT])
    reference = next(iter(row.holds))
    row.holds["left-behind"] = row.holds.pop(reference)
    told.history.rows[ACCOUNT] = rows.encode(row)
    with pytest.raises(checker.Difference, match="holds of the row"):
        checker.check(told.history)


def test_a_row_at_another_time_than_its_last_message_is_found(told: Told) -> None:
    row: Any = rows.decode(told.history.rows[ACCOUNT])
    row.as_of += 1
    told.history.rows[ACCOUNT] = rows.encode(row)
    with pytest.raises(checker.Difference, match="time of the row"):
        checker.check(told.history)


def test_a_reader_that_misses_repeats_or_exchanges_a_record_has_another_digest() -> None:
    records = [Record(offset, AT, b"a", b"%d" % offset) for offset in (3, 4, 6)]
    right = digest(records)
    assert right == digest(iter(records))
    others = [records[:2], [*records, records[2]], [records[0], records[2], records[1]]]
    assert all(digest(other) != right for other in others)
    assert digest([*records[:2], records[2]._replace(value=b"x")]) != right


def test_a_wrong_clock_stamps_a_share_of_the_messages_and_no_poison() -> None:
    clock, sent = ProducerClock(), list(islice(story.told(4, 1), 2000))
    assert [clock.stamped(record) for record in sent] == sent
    clock.set_wrong(Random(1), ahead)
    stamped = [clock.stamped(record) for record in sent]
    wrong = [record for record in stamped if record.at is not None]
    assert 0.2 < len(wrong) / len(sent) < 0.3
    assert clock.wrong == len(wrong)
    early = [record for record in wrong if record.poison]
    assert 0.4 < len(early) / len(wrong) < 0.6
    assert clock.beyond == len(early)
    now = just_now() + 3_600_000
    arrived = [(record, Record(0, now, record.key, record.value)) for record in wrong]
    assert all(is_from_the_future(each) == record.poison for record, each in arrived)
    assert not any(is_from_the_future(Record(0, now, each.key, each.value)) for each in sent)
    clock.set_right()
    assert [clock.stamped(record) for record in sent] == sent


def test_decisions_are_counted_by_when_they_were_made() -> None:
    watch = Watch("127.0.0.1:1")
    for partition, made in [(0, 99_000), (1, 101_000), (2, 103_000)]:
        watch._note(_Decision(partition, made), now=200.0)
    assert watch.decided(100.0, 102.0) == 1
    assert watch.decided(90.0, 110.0) == 3


def test_every_record_is_in_one_share_of_a_partition() -> None:
    assert conduct.shares(500_000) == [ALL], "what fits is checked whole"
    shares = conduct.shares(7_200_000)
    assert len(shares) == 5
    found = Counter(share.part for n in range(10_000) for share in shares if share.has(f"c{n}-acct-{n % 7}".encode()))
    assert sum(found.values()) == 10_000
    assert min(found[share.part] for share in shares) > 1800, "and the shares are alike"
    assert sum(share.has(None) for share in shares) == 1


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """One that is not started."""
    return Campaign(1, SECONDS, chosen(SHORT), World(tmp_path, []), lambda _line, _done: None)


def test_a_world_that_no_help_brings_back_ends_the_campaign_with_what_was_seen(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of faults was forgotten once, because the last of them could not be helped."""

    def rebuild(_world: World) -> None:
        raise AssertionError("no 'ready' from the worker")

    def fail(_self: Campaign, _load: Load, _watch: Watch) -> None:
        campaign.result.trials.append(Trial("store-deleted", 1, 0.0, 0.0, trouble="not recovered after 90 s"))
        campaign._help()

    world = {"__enter__": lambda world: world, "__exit__": lambda *_: None, "rebuild": rebuild, "kafka": "127.0.0.1:1"}
    for name, part in world.items():
        monkeypatch.setattr(World, name, part)
    monkeypatch.setattr(Campaign, "_open_accounts", lambda *_: None)
    monkeypatch.setattr(Campaign, "_play", fail)
    result = campaign.run()
    assert not result.passed
    assert [trial.fault for trial in result.trials] == ["store-deleted"]
    assert result.lost == ["started anew, and still not there: no 'ready' from the worker"]


@pytest.mark.parametrize("has", [[0, 2], [0, 1, 1, 2], [0, 2, 1]], ids=["missed", "repeated", "exchanged"])
def test_a_reader_who_has_not_what_is_there_is_found(campaign: Campaign, has: list[int]) -> None:
    records = [Record(offset, AT, b"a", b"%d" % offset) for offset in range(3)]
    checked = checker.Checked(0, 3, 0, 0, 0, {}, [], {DECISIONS: digest(records)})
    places = {(DECISIONS, 0): Place()}
    campaign._world.reader = SimpleNamespace(places=places, error=None)  # type: ignore[assignment]
    for number in has:
        places[DECISIONS, 0].note(records[number])
    campaign._check_reader(checked, until=0.0)
    assert [lost.startswith(f"{DECISIONS} 0: the reader has ({len(has)}, ") for lost in campaign.result.lost] == [True]
    places[DECISIONS, 0] = Place()
    for record in records:
        places[DECISIONS, 0].note(record)
    campaign.result.lost.clear()
    campaign._check_reader(checked, until=0.0)
    assert campaign.result.lost == []


def test_decisions_that_wait_for_what_they_do_not_need_are_found(campaign: Campaign) -> None:
    """One partition alone, or all of them at less than half of the rate at which they are asked for."""
    damage, load, watch = Damage(100.0, 110.0), Load("127.0.0.1:1", iter([]), 1), Watch("127.0.0.1:1")
    load._asked = [100.5 + number / 2 for number in range(16)]
    for number in range(6):
        watch._note(_Decision(number % 3, 101_000 + number), now=102.0)
    with pytest.raises(AssertionError, match="waited for what they do not need"):
        campaign._decided_meanwhile(damage, load, watch)
    watch._note(_Decision(3, 102_000), now=103.0)
    with pytest.raises(AssertionError, match="7 decisions of 16 asked for"):
        campaign._decided_meanwhile(damage, load, watch)
    watch._note(_Decision(3, 109_000), now=111.0)
    assert campaign._decided_meanwhile(damage, load, watch) == 0.5


def _base64(data: bytes | None) -> str:
    return base64.b64encode(data or b"").decode()


def test_what_the_replies_leave_open_the_journal_decides() -> None:
    """A payment and a request, both after something later: their replies name the same time, neither names its own."""
    payment, request = _update("pay-1", 5, 9), _pair("ref-1", 6, 9)
    sides = [payment], [request]
    none: list[bool] = []
    assert list(merged(sides, _Progress(["ref-1", "pay-1"]), none)) == [request, payment]
    assert list(merged(sides, _Progress(["ref-2", "a", "b", "pay-1"]), none)) == [request, payment]
    assert none == [], "there was no choice"
    others: list[bool] = []
    assert list(merged(sides, _Progress(["pay-1"]), others)) == [payment, request]
    assert other_choice(others)
    assert list(merged(sides, _Progress(["pay-1"]), others)) == [request, payment]
    assert not other_choice(others)
    late, early = _update("late", 9, 9), _pair("ref-0", 6, 6)
    assert list(merged(([late], [early]), _Progress(["late"]), none)) == [early, late]


def test_before_the_journal_the_figures_decide() -> None:
    """Only the request fits before the payment: 40 such at one time would have too many orders to try them."""
    payment, request = _update("pay-1", 5, 9), _pair("ref-1", 6, 9)
    sides, none = ([payment], [request]), list[bool]()
    assert list(merged(sides, _Progress(["pay-1"], fitting={"ref-1"}), none)) == [request, payment]
    assert list(merged(sides, _Progress(["pay-1"], fitting={"pay-1"}), none)) == [payment, request]
    assert none == []


def test_what_fits_an_account_has_its_time_and_its_open_to_buy() -> None:
    """A message that names the account's time may come after another that named the same."""
    auditor = Auditor()
    progress = Progress(auditor, "acct-1", [])
    opening, payment = say.opened(), say.payment(50, transmitted_at=say.T0 + 1)
    applied = AccountUpdate(
        "account-update", 1, opening.message_id, "acct-1", "account-opened", "applied", 500_000, "USD", 0, 0, 500_000,
        say.T0,
    )  # fmt: skip
    auditor.check(opening, applied)
    for transmitted_at, decided_at, before, fits in (
        (say.T0 + 1, say.T0 + 1, 500_000, True),
        (say.T0 - 1, say.T0, 500_000, True),
        (say.T0, say.T0, 500_000, True),
        (say.T0, say.T0 + 1, 500_000, False),
        (say.T0 + 1, say.T0, 500_000, False),
        (say.T0, say.T0, 500_001, False),
    ):
        message = replace(payment, transmitted_at=transmitted_at)
        reply = replace(applied, cause="payment-received", amount=50, open_to_buy=before + 50, decided_at=decided_at)
        assert progress.fits(Pair("", Record(0, AT, b"", b""), message, reply, 0)) is fits
    assert progress.repeats(Pair("", Record(0, AT, b"", b""), opening, applied, 0))


def test_a_refusal_leaves_no_trace_and_says_nothing_about_the_time_of_what_follows() -> None:
    """A dispute that was refused at a later time than a request that was decided after it; a repeat of an answer."""
    refused, request = _update("dispute-1", 9, 9, outcome="illegal-dispute-stage"), _pair("ref-1", 6, 6)
    others: list[bool] = []
    assert list(merged(([refused], [request]), _Progress([]), others)) == [refused, request]
    assert other_choice(others)
    assert list(merged(([refused], [request]), _Progress([]), others)) == [request, refused]
    again, none = _pair("ref-1", 12, 12), list[bool]()
    update = _update("pay-1", 9, 9)
    assert list(merged(([update], [again]), _Progress(["pay-1"], again={"ref-1"}), none)) == [again, update]
    assert none == []


@pytest.mark.parametrize("took_ms", [0, 3, 3000])
def test_an_update_whose_reply_the_broker_took_first_came_first_if_it_can(took_ms: int) -> None:
    """After an outage of 90 s accounts had sixty messages at one time. Several slices are one transaction then, which
    writes the updates of all of them and then the decisions: a request may be of a slice before."""
    update, request = _pair("dispute-1", 5, 9), _pair("ref-1", 6, 9, took_ms=took_ms)
    others: list[bool] = []
    assert list(merged(([update], [request]), _Progress([]), others)) == [update, request]
    assert other_choice(others)
    assert list(merged(([update], [request]), _Progress([]), others)) == [request, update]
    none = list[bool]()
    assert list(merged(([update], [request]), _Progress([], fitting={"ref-1"}), none)) == [request, update]
    assert none == []


def test_slices_that_were_committed_together_may_have_the_decisions_of_the_first_behind_the_updates_of_the_last(
    told: Told,
) -> None:
    for topic, replies in told.history.replies.items():
        for number, reply in enumerate(replies):
            together = AT + (reply.at - AT) // (3 * SLICE) * (3 * SLICE) + (topic == DECISIONS)
            replies[number] = reply._replace(at=together)
    assert checker.check(told.history) > MESSAGES


def test_a_decision_long_before_an_update_was_of_a_slice_before_it() -> None:
    """Unless its batch was sent again, so the other order is tried as well."""
    update, request = _pair("dispute-1", 5, 9, took_ms=20), _pair("ref-1", 6, 9)
    others: list[bool] = []
    assert list(merged(([update], [request]), _Progress([]), others)) == [request, update]
    assert other_choice(others)
    assert list(merged(([update], [request]), _Progress([]), others)) == [update, request]


@dataclass
class _Progress:
    """An account that stands still; without `fitting` everything fits it."""

    left: list[str]
    fitting: set[str] | None = None
    again: set[str] = field(default_factory=set)

    def repeats(self, pair: Pair) -> bool:
        return pair.message.message_id in self.again

    def fits(self, pair: Pair) -> bool:
        return self.fitting is None or pair.message.message_id in self.fitting

    def causes_left(self) -> list[str]:
        return self.left


def _pair(name: str, transmitted_at: int, decided_at: int, took_ms: int = 0, **reply: Any) -> Pair:
    message = SimpleNamespace(message_id=name, transmitted_at=transmitted_at)
    return Pair("", Record(0, AT, b"", b""), message, SimpleNamespace(decided_at=decided_at, **reply), took_ms)


def _update(name: str, transmitted_at: int, decided_at: int, **reply: Any) -> Pair:
    """Whose reply the broker took a little after those to requests: they may be of one slice."""
    return _pair(name, transmitted_at, decided_at, took_ms=1, **reply)


# -- what hurts and what watches


class _Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1000):
            self.request.sendall(data)


@pytest.fixture
def link() -> Iterator[Link]:
    """A link before a server that says what it hears."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Link(server.server_address[1]) as link:
            yield link
        server.shutdown()


def _connected(link: Link) -> socket.socket:
    host, port = link.address.split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(b"hello")
    assert connection.recv(1000) == b"hello"
    return connection


def test_a_link_is_cut_and_mended(link: Link) -> None:
    with _connected(link) as connection:
        link.cut()
        with pytest.raises(OSError, match="refused"):
            _connected(link)
        with suppress(ConnectionResetError):
            assert connection.recv(1000) == b"", "the connection is gone"
    link.mend()
    _connected(link).close()


def test_a_stalled_link_keeps_connections_and_what_was_said(link: Link) -> None:
    with _connected(link) as connection:
        link.stall()
        connection.sendall(b"still there?")
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1000)
        link.flow()
        connection.settimeout(30)
        assert connection.recv(1000) == b"still there?"


def test_the_answer_to_a_commit_is_lost_once(link: Link) -> None:
    with _connected(link) as connection:
        link.lose_an_answer()
        connection.sendall(b"size" + END_TRANSACTION)
        with suppress(ConnectionResetError):
            assert connection.recv(1000) == b""
    assert link.answers_lost == 1
    _connected(link).close()


def test_recovered_is_when_every_partition_has_decided_something_made_after_the_fault() -> None:
    watch = Watch("127.0.0.1:1")
    for partition, made in [(0, 99_000), (1, 101_000), (2, 101_000), (3, 102_000), (1, 103_000)]:
        watch._note(_Decision(partition, made), now=made / 1000 + 0.5)
    assert watch.decided_again(98.0) == 102.5
    assert watch.decided_again(100.0) is None, "partition 0 has decided nothing since"
    watch._note(_Decision(0, 104_000), now=104.5)
    assert watch.decided_again(100.0) == 104.5
    watch.forget()
    assert watch.decided_again(98.0) is None


@dataclass
class _Decision:
    """As much of a record as the watch reads."""

    number: int
    made: int

    def error(self) -> None:
        return None

    def partition(self) -> int:
        return self.number

    def timestamp(self) -> tuple[int, int]:
        return 1, self.made


# -- the page


def test_the_page_says_what_was_lost_and_what_needed_help() -> None:
    faults = chosen("worker-killed,store-deleted,reader-slow,sink-killed")
    result = Result(9, 60.0, [Appointment(4.0, "worker-killed", 1)])
    result.trials = [
        Trial("worker-killed", 1, 4.0, 100.0, recovery_s=2.0),
        Trial("worker-killed", 2, 9.0, 110.0, recovery_s=4.0),
        Trial("store-deleted", 3, 20.0, 120.0, trouble="not recovered"),
        Trial("reader-slow", 4, 40.0, 140.0, recovery_s=11.0, held_s=10.0, meanwhile=0.98),
    ]
    assert not result.passed
    result.lost, result.lost_after = ["partition 0: a reply too many\nwith its history"], [1]
    result.trials[2].trouble = "not recovered: /var/some-where/rows.db/000008.sst is corrupt"
    text = page.markdown(result, faults, "the command", PATIENCE_S)
    assert "| worker-killed | 2 | 1 message | no | 3.0 / 4.0 s | - | - |" in text
    assert "not recovered: 000008.sst is corrupt" in text, "folders of this machine are nobody's business"
    assert "| store-deleted | 1 | nothing | once | - | - | - |" in text
    assert "| reader-slow | 1 | nothing | no | 11.0 / 11.0 s | 10.0 s | 98% |" in text
    assert "| sink-killed |" not in text, "what was not tried has no figures"
    assert "sink-killed" in text.partition("Not tried in this run: ")[2].partition("\n")[0]
    assert "- partition 0: a reply too many\n" in text
    assert "seed 9" in text
    result.brokers = 3
    of_three = page.markdown(result, chosen(None, brokers=3), "the command", PATIENCE_S)
    assert of_three.startswith("# Reliability with 3 brokers\n")
    assert "one-broker-paused" in of_three.partition("Not tried in this run: ")[2].partition("\n")[0]
    assert "sink-killed" not in of_three.partition("## Faults")[2]


def test_the_result_is_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    result = Result(9, 60.0, schedule(9, 60.0, {"sink-killed": 14.0}), lost=["it"])
    report(result, chosen("sink-killed"), as_json=True)
    document = orjson.loads(capsys.readouterr().out)
    assert document["passed"] is False
    assert document["campaign"]["seed"] == 9
    assert document["campaign"]["schedule"][0]["fault"] == "sink-killed"
    report(result, chosen("sink-killed"), as_json=False)
    said = capsys.readouterr().out
    assert "seed 9, schedule:" in said
    assert "(seed " in said


# -- for real

SHORT = "worker-killed,killed-at-commit,broker-killed,postgres-killed,store-deleted"
SEED, SECONDS = 3, 69
"""A schedule that has each of them once, with short pauses."""
LOAD = 500
"""Records a second."""


@pytest.mark.timeout(600)
def test_a_short_campaign_loses_nothing(
    tmp_path: Path, kafka_jars: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of process killed once, always by the same schedule; less than three minutes in all. It is checked in
    shares, as a long one is."""
    monkeypatch.setattr(conduct, "MOST_AT_ONCE", 2000)
    told: list[str] = []
    world = World(tmp_path, kafka_jars, jvm_options=SHORT_LIVED)
    campaign = Campaign(SEED, SECONDS, chosen(SHORT), world, lambda line, _done: told.append(line), rate=LOAD)
    result = campaign.run()
    if not result.passed:  # most telling last: that is what is left when output is cut
        pytest.fail("\n".join([*told, *map(str, result.trials), *(lost[:3000] for lost in result.lost)]), pytrace=False)
    assert {appointment.fault for appointment in result.schedule} == set(chosen(SHORT))
    assert len(result.trials) + len(result.left_out) == len(result.schedule)
    assert result.messages > 20_000
    assert result.poison > 0
