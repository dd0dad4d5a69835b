"""Every message type of the lifecycle, valid, legal, in order, and about as frequent as `shares.py` says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import count, islice
from random import Random
from typing import Any, get_args

import pytest

from loadtest.traffic import Labelled, Traffic, shares
from loadtest.traffic.agenda import Agenda
from loadtest.traffic.cardholders import DAY_MS, HOUR_MS
from loadtest.traffic.labels import Message
from loadtest.traffic.merchants import CATEGORIES
from loadtest.traffic.places import RATE_UNIT
from loadtest.traffic.spender import REMEMBERED
from models.messages import (
    AccountStatusChanged,
    AuthorizationAdvice,
    AuthorizationIncrement,
    AuthorizationRequest,
    CardStatusChanged,
    ControlsSet,
    CreditLimitChanged,
    DisputeEvent,
    Presentment,
    Refund,
    Reversal,
)
from models.money import exponent
from models.status import AccountStatus, CardStatus, account_may_become, card_may_become
from topics import codec

ACCOUNTS, DAYS = 1200, 40
OPENED = 1_767_225_600_000


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(17, ACCOUNTS, "life")


@pytest.fixture(scope="module")
def played(traffic: Traffic) -> list[Labelled]:
    """All of the first DAYS days."""
    return list(until(traffic, DAYS))


@pytest.fixture(scope="module")
def firsts(played: list[Labelled]) -> list[Labelled]:
    """Without repeats."""
    return [item for item in played if not item.retry]


@pytest.fixture(scope="module")
def requests(firsts: list[Labelled]) -> dict[str, Labelled]:
    """First attempts, by network reference."""
    return {item.request.network_reference: item for item in firsts if type(item.message) is AuthorizationRequest}


@pytest.fixture(scope="module")
def approved(requests: dict[str, Labelled]) -> int:
    """About how many of the requests can have follow-ups."""
    return sum(item.pattern is None and item.request.kind == "purchase" for item in requests.values())


def until(traffic: Traffic, days: int) -> Iterator[Labelled]:
    end = traffic.plan.start_ms + days * DAY_MS
    for item in traffic.stream():
        if not item.retry and not item.late and item.message.transmitted_at >= end:
            return
        yield item


def of(items: list[Labelled], kind: type[Any]) -> list[Any]:
    return [item.message for item in items if type(item.message) is kind]


def test_every_type_occurs_in_a_hundred_thousand_events() -> None:
    found = {type(item.message) for item in islice(Traffic(5, 2000, "r").stream(), 100_000)}
    assert found == set(get_args(Message))


def test_every_message_is_one_that_the_engine_reads(traffic: Traffic, played: list[Labelled]) -> None:
    """No type is ever refused: all rare messages and many of the frequent ones go through the engine's own codec."""
    seen: Counter[str] = Counter()
    for message in [*traffic.openings(), *(item.message for item in played)]:
        seen[message.type] += 1
        if seen[message.type] <= 4000:
            decoded = codec.decode(
                codec.TOPIC_OF_TYPE[message.type], message.account_id.encode(), codec.encode(message)
            )
            assert decoded == message
    assert len(seen) == len(codec.TOPIC_OF_TYPE) - 1  # the clock is not the network's


@pytest.mark.parametrize("currency", ["JPY", "KWD", "EUR", "CHF"])
def test_amounts_fit_any_currency(currency: str) -> None:
    for item in islice(Traffic(2, 60, "r", currency=currency).stream(), 4000):
        message = item.message
        codec.decode(codec.TOPIC_OF_TYPE[message.type], message.account_id.encode(), codec.encode(message))


def test_identities_are_unique(firsts: list[Labelled]) -> None:
    """A stand-in advice has the reference of the request that it decides; no other message shares an identity."""
    ids: Counter[str] = Counter()
    for item in firsts:
        message = item.message
        if isinstance(message, AuthorizationRequest | AuthorizationIncrement | AuthorizationAdvice):
            if getattr(message, "reason", None) != "stand-in":
                ids[message.network_reference] += 1
        else:
            ids[message.message_id] += 1
    assert max(ids.values()) == 1


def test_time_never_goes_back_but_for_what_is_repeated_or_overtaken(played: list[Labelled], traffic: Traffic) -> None:
    times = [item.message.transmitted_at for item in played if not item.retry and not item.late]
    assert times == sorted(times)
    assert times[0] >= traffic.plan.start_ms


def test_messages_of_every_kind_are_repeated_exactly(played: list[Labelled]) -> None:
    sent: dict[int, Labelled] = {}
    repeated: Counter[type] = Counter()
    delays: dict[type, int] = defaultdict(int)
    now = 0
    for item in played:
        now = max(now, item.message.transmitted_at)
        if item.retry:
            assert item._replace(retry=False) == sent[id(item.message)]
            repeated[type(item.message)] += 1
            delays[type(item.message)] = max(delays[type(item.message)], now - item.message.transmitted_at)
        else:
            sent[id(item.message)] = item
    assert sum(repeated.values()) / len(played) == pytest.approx(shares.REPEATED, rel=0.15)
    sizes = Counter(type(item.message) for item in played)
    assert set(repeated) >= {kind for kind, size in sizes.items() if size * shares.REPEATED > 6}
    assert len(repeated) >= 6
    assert delays[AuthorizationRequest] < 60_000
    assert delays[Presentment] > 12 * HOUR_MS, "a file comes twice"


def test_busy_accounts_see_no_file_twice() -> None:
    """They would have forgotten it: at 500 requests a day, 128 postings are hours."""
    now = 0
    for item in islice(Traffic(1, 20, "r", authorizations_per_account_day=500).stream(), 60_000):
        now = max(now, item.message.transmitted_at)
        if item.retry:
            assert now - item.message.transmitted_at < 60_000


# -- requests --


def test_shares_of_the_kinds_of_requests(requests: dict[str, Labelled]) -> None:
    kinds = Counter(item.request.kind for item in requests.values() if not item.fraud)
    total = sum(kinds.values())
    assert 0.002 < kinds["cash-advance"] / total < 0.012
    assert 0.0005 < kinds["quasi-cash"] / total < 0.005
    assert kinds["account-verification"] / total == pytest.approx(shares.VERIFIED, rel=0.3)
    assert 0.004 < kinds["refund"] / total < 0.02
    assert kinds["purchase"] / total > 0.96


def test_a_request_has_what_belongs_to_its_kind(requests: dict[str, Labelled]) -> None:
    for item in requests.values():
        request = item.request
        assert (request.amount == 0) == (request.kind == "account-verification")
        assert request.card_present == (request.entry_mode in {"chip", "contactless", "magstripe"})
        assert request.stan is not None
        assert request.rrn is not None
        assert request.rrn.endswith(request.stan)
        assert len(request.rrn) == 12
        assert request.merchant_city
        if request.kind == "cash-advance":
            assert (request.mcc, request.pin_result, request.amount % 2000) == (6011, "verified", 0)
        if request.card_present:
            assert request.avs_result is request.cvv_result is request.three_ds_result is None
        elif request.entry_mode == "ecommerce":
            assert None not in (request.avs_result, request.cvv_result, request.three_ds_result)
        assert (request.initiated_by == "merchant") == (request.entry_mode == "recurring")
        if request.partial_approval:
            assert (request.kind, request.card_present) == ("purchase", True)


def test_terminals_that_take_a_part_and_estimates(requests: dict[str, Labelled]) -> None:
    purchases = [item.request for item in requests.values() if item.request.kind == "purchase" and not item.fraud]
    present = [request for request in purchases if request.card_present]
    part = sum(request.partial_approval for request in present) / len(present)
    assert part == pytest.approx(shares.PARTIAL_TERMINALS, abs=0.08)
    estimated = {category.mcc for category in CATEGORIES if category.estimated}
    assert {request.mcc for request in purchases if request.pre_authorization} == estimated
    assert 0.02 < sum(request.pre_authorization for request in purchases) / len(purchases) < 0.08


def test_money_of_another_country_converts(traffic: Traffic, requests: dict[str, Labelled]) -> None:
    homes = {person.account_id: person.home for person in traffic.people}
    foreign = [item.request for item in requests.values() if item.request.merchant_currency is not None]
    assert 0.005 < len(foreign) / len(requests) < 0.08
    assert len({request.merchant_currency for request in foreign}) > 8
    for request in foreign:
        assert request.merchant_country != homes.get(request.account_id)
        assert request.merchant_currency != "USD"
        if request.amount < 500:
            continue
        assert request.merchant_currency is not None
        assert request.merchant_amount is not None
        assert request.conversion_rate is not None
        theirs = request.merchant_amount / 10 ** exponent(request.merchant_currency)
        assert theirs * request.conversion_rate / RATE_UNIT == pytest.approx(request.amount / 100, rel=0.01, abs=0.1)


def test_thieves_know_less_of_the_address(requests: dict[str, Labelled]) -> None:
    def matched(*, fraud: bool) -> float:
        codes = [i.request.avs_result for i in requests.values() if i.fraud is fraud and i.request.avs_result]
        return codes.count("Y") / len(codes)

    assert matched(fraud=True) < 0.6
    assert matched(fraud=False) > 0.7


# -- before clearing --


def test_increments_follow_an_estimate_and_grow(firsts: list[Labelled], requests: dict[str, Labelled]) -> None:
    totals = {reference: item.request.amount for reference, item in requests.items()}
    increments = of(firsts, AuthorizationIncrement)
    named = Counter(message.amount_is for message in increments)
    grows = {category.mcc for category in CATEGORIES if category.grows}
    for message in increments:
        request = requests[message.original_reference].request
        assert request.pre_authorization
        assert request.mcc in grows
        assert message.transmitted_at > request.transmitted_at
        before = totals[message.original_reference]
        after = message.amount if message.amount_is == "total" else before + message.amount
        assert after > before
        totals[message.original_reference] = after
    assert named["total"] / len(increments) == pytest.approx(shares.TOTALS, abs=0.06)
    assert 0.008 < len(increments) / len(requests) < 0.04


def test_pumps_tell_what_was_taken(firsts: list[Labelled], requests: dict[str, Labelled]) -> None:
    advices = [message for message in of(firsts, AuthorizationAdvice) if message.reason == "completion"]
    at_pumps = [item.request for item in requests.values() if item.request.mcc == 5542 and item.pattern is None]
    assert len(advices) / len(at_pumps) == pytest.approx(shares.COMPLETED, abs=0.12)
    assert 0 < sum(message.amount == 0 for message in advices) / len(advices) < 0.05
    assert any(not message.approved for message in advices)
    for message in advices:
        request = requests[message.original_reference].request
        assert (request.mcc, request.rrn) == (5542, message.rrn)
        assert message.amount <= request.amount * 115 // 100
        assert message.approved or message.amount == 0
        assert 60_000 <= message.transmitted_at - request.transmitted_at <= 420_000


def test_the_network_stands_in_while_we_cannot_be_reached(
    firsts: list[Labelled], requests: dict[str, Labelled]
) -> None:
    advices = [message for message in of(firsts, AuthorizationAdvice) if message.reason == "stand-in"]
    unasked = [message for message in advices if message.network_reference not in requests]
    late = [message for message in advices if message.network_reference in requests]
    assert 0.0015 < len(unasked) / len(requests) < 0.006
    assert 0.00005 < len(late) / len(requests) < 0.0006
    assert 0 < sum(not message.approved for message in unasked) / len(unasked) < 0.15
    assert all(message.approved for message in late)
    assert all(message.approval_code and message.rrn for message in advices)


def test_reversals_whole_partial_and_after_a_timeout(
    firsts: list[Labelled], requests: dict[str, Labelled], approved: int
) -> None:
    reversals = of(firsts, Reversal)
    reasons = Counter(message.reason for message in reversals)
    assert set(reasons) == {"customer", "timeout", "malfunction", "suspected-fraud"}
    assert len(reversals) / approved == pytest.approx(shares.REVERSED, rel=0.25)
    asked = {reference: item.request.amount for reference, item in requests.items()}
    part = [m for m in reversals if m.amount is not None and m.amount < asked[m.network_reference]]
    assert len(part) / approved == pytest.approx(shares.CUT, rel=0.35)
    assert len({message.network_reference for message in reversals}) == len(reversals)


def test_a_reversal_sometimes_overtakes_its_request(played: list[Labelled]) -> None:
    """The request arrives later, with the earlier time; never a presentment or another reversal of it."""
    arrived: dict[str, int] = {}
    overtaken = 0
    for number, item in enumerate(played):
        message = item.message
        if type(message) is Reversal and not item.retry:
            if message.network_reference not in arrived:
                assert message.reason == "timeout"
                overtaken += 1
        elif type(message) is AuthorizationRequest and not item.retry:
            arrived[message.network_reference] = number
    late = {item.request.network_reference for item in played if item.late}
    assert 0.0001 < len(late) / len(arrived) < 0.0006
    assert 0 <= overtaken - len(late) <= 1  # the last may be still on its way
    assert not any(isinstance(i.message, Presentment) and i.message.network_reference in late for i in played)


# -- clearing --


def purchases(firsts: list[Labelled]) -> dict[str, list[Presentment]]:
    found: dict[str, list[Presentment]] = defaultdict(list)
    for message in of(firsts, Presentment):
        found[message.network_reference].append(message)
    return found


def test_most_purchases_are_presented_within_days(
    firsts: list[Labelled], requests: dict[str, Labelled], played: list[Labelled]
) -> None:
    """Of the honest purchases old enough; some are believed declined."""
    old = played[-1].message.transmitted_at - 4 * DAY_MS
    honest = {
        reference
        for reference, item in requests.items()
        if item.pattern is None and item.request.kind == "purchase" and item.request.transmitted_at < old
    }
    found = purchases(firsts)
    assert 0.83 < len(honest & set(found)) / len(honest) < 0.93
    delays = [
        parts[0].transmitted_at - requests[reference].request.transmitted_at
        for reference, parts in found.items()
        if reference in requests
    ]
    late = sum(delay > 7 * DAY_MS for delay in delays)
    assert late / len(delays) == pytest.approx(shares.LATE, rel=0.5)
    assert min(delays) >= 2 * HOUR_MS
    assert max(delays) < 18 * DAY_MS


def test_presentments_say_how_they_can_be_matched(firsts: list[Labelled], requests: dict[str, Labelled]) -> None:
    """By reference; with the retrieval reference and an approval code that the network gave; by card and merchant."""
    stood_in = {m.network_reference: m for m in of(firsts, AuthorizationAdvice) if m.reason == "stand-in"}
    presentments = of(firsts, Presentment)
    unknown = [m for m in presentments if m.network_reference not in requests and m.network_reference not in stood_in]
    codes = {m.approval_code for m in presentments if m.approval_code}
    assert codes <= {message.approval_code for message in stood_in.values()}
    assert len(codes) > 50
    rest = [message for message in unknown if message.approval_code is None]
    forced_or_unreferenced = len(rest) / len(presentments)
    assert forced_or_unreferenced == pytest.approx(shares.UNREFERENCED + shares.OFFLINE, rel=0.25)
    assert 0.3 < sum(message.rrn is None for message in rest) / len(rest) < 0.6
    assert all(message.card_token for message in presentments)
    own_rrns = {item.request.rrn for item in requests.values()}
    assert 0.05 < sum(m.rrn is not None and m.rrn not in own_rrns for m in rest) / len(rest) < 0.4  # never asked for


def test_presentments_fit_what_was_authorised(firsts: list[Labelled], requests: dict[str, Labelled]) -> None:
    grown: Counter[str] = Counter()
    for message in of(firsts, AuthorizationIncrement):
        request = requests[message.original_reference].request
        total = message.amount if message.amount_is == "total" else message.amount + grown[message.original_reference]
        grown[message.original_reference] = total - request.amount * (message.amount_is == "total")
    shapes: Counter[str] = Counter()
    for reference, parts in purchases(firsts).items():
        if reference not in requests:
            continue
        request = requests[reference].request
        assert all(not part.final for part in parts[:-1])
        assert {(p.account_id, p.card_token, p.merchant_id, p.mcc, p.kind) for p in parts} == {
            (request.account_id, request.card_token, request.merchant_id, request.mcc, request.kind)
        }
        share = sum(part.amount for part in parts) / (request.amount + grown[reference])
        shapes["parts"] += len(parts) > 1
        shapes["unfinished"] += len(parts) > 1 and not parts[-1].final
        shapes["over"] += share > 1.1
        shapes["exactly"] += share == 1
        shapes["exchanged"] += 0.99 < share < 1.01 and share != 1
        shapes["all"] += 1
        assert share < 1.3 or request.amount < 200
    assert shapes["exactly"] / shapes["all"] > 0.8
    assert 0.02 < shapes["over"] / shapes["all"] < 0.08  # tips, and a little fuel
    assert shapes["exchanged"] > 100
    assert shapes["parts"] / shapes["all"] == pytest.approx(shares.SEVERAL, rel=0.25)
    assert shapes["unfinished"] / shapes["parts"] == pytest.approx(shares.UNFINISHED, abs=0.1)


def test_refunds_linked_and_not(firsts: list[Labelled], requests: dict[str, Labelled]) -> None:
    """A linked one names a purchase that was presented, and recently enough for the engine to know it."""
    newest: Counter[str] = Counter()
    ordinal: dict[str, int] = {}
    paid: Counter[str] = Counter()
    given: Counter[str] = Counter()
    linked = unlinked = 0
    for item in firsts:
        message = item.message
        if type(message) is Presentment:
            newest[message.account_id] += 1
            ordinal[message.network_reference] = newest[message.account_id]
            paid[message.network_reference] += message.amount
        elif type(message) is Refund:
            if message.original_reference is None:
                unlinked += 1
                continue
            linked += 1
            given[message.original_reference] += message.amount
            assert newest[message.account_id] - ordinal[message.original_reference] < REMEMBERED
    assert 0.01 < (linked + unlinked) / len(ordinal) < 0.05
    assert 0.15 < unlinked / (linked + unlinked) < 0.35
    too_much = sum(given[reference] > paid[reference] for reference in given) / len(given)
    assert 0 < too_much < 0.06  # sent twice
    asked = sum(item.request.kind == "refund" for item in requests.values())
    assert asked / (linked + unlinked) == pytest.approx(shares.REFUND_AUTHORIZED, abs=0.12)


def test_dispute_chains_are_rare_and_in_order(firsts: list[Labelled]) -> None:
    legal = {
        None: {"chargeback"}, "chargeback": {"representment"}, "representment": {"pre-arbitration"},
        "pre-arbitration": {"arbitration-won", "arbitration-lost"},
    }  # fmt: skip
    chains: dict[str, list[DisputeEvent]] = defaultdict(list)
    paid: Counter[str] = Counter()
    for item in firsts:
        message = item.message
        if type(message) is Presentment:
            paid[message.network_reference] += message.amount
        elif type(message) is DisputeEvent:
            before = chains[message.original_reference][-1].stage if chains[message.original_reference] else None
            assert message.stage in legal[before]
            assert message.amount <= paid[message.original_reference]
            chains[message.original_reference].append(message)
    assert 0.0002 < len(chains) / len(paid) < 0.002
    stages = Counter(message.stage for chain in chains.values() for message in chain)
    assert stages["chargeback"] > stages["representment"] > stages["pre-arbitration"] > 0


# -- servicing --


def test_statuses_move_legally(traffic: Traffic, firsts: list[Labelled]) -> None:
    accounts: dict[str, AccountStatus] = defaultdict(lambda: AccountStatus.ACTIVE)
    cards: dict[str, CardStatus] = defaultdict(lambda: CardStatus.ACTIVE)
    seen: Counter[str] = Counter()
    for item in firsts:
        message = item.message
        if type(message) is AccountStatusChanged:
            account = AccountStatus(message.status)
            assert account is not accounts[message.account_id]
            assert account_may_become(accounts[message.account_id], account)
            accounts[message.account_id] = account
            seen[f"account {message.status}"] += 1
        elif type(message) is CardStatusChanged:
            card = CardStatus(message.status)
            assert card is not cards[message.card_token]
            assert card_may_become(cards[message.card_token], card)
            cards[message.card_token] = card
            seen[f"card {message.status}"] += 1
    assert set(seen) == {
        "account active", "account frozen", "account delinquent-blocked", "card active", "card frozen", "card lost",
        "card stolen", "card closed",
    }  # fmt: skip
    assert set(cards) <= {person.card_token for person in traffic.people}


def test_a_lost_card_is_quiet_and_few_are_lost(firsts: list[Labelled]) -> None:
    lost: set[str] = set()
    for item in firsts:
        message = item.message
        if type(message) is CardStatusChanged and message.status in {"lost", "stolen"}:
            lost.add(message.card_token)
        elif type(message) is AuthorizationRequest and not item.late:
            assert message.card_token not in lost
    assert 0 < len(lost) <= ACCOUNTS * shares.MOST_LOST


def test_limits_and_controls(traffic: Traffic, firsts: list[Labelled], requests: dict[str, Labelled]) -> None:
    limits = of(firsts, CreditLimitChanged)
    assert len(limits) / len(requests) == pytest.approx(shares.LIMIT_CHANGED, rel=0.3)
    first = {person.account_id: person.credit_limit for person in traffic.people}
    assert all(message.credit_limit <= first[message.account_id] * 4 + 50_000 for message in limits)
    controls = of(firsts, ControlsSet)
    controls = [message for message in controls if message.velocity or message.lists]  # the others: guards.py
    controlled = {message.account_id for message in controls}
    assert len(controlled) / ACCOUNTS == pytest.approx(shares.CONTROLLED, abs=0.02)
    assert any(message.card_token for message in controls)
    assert any(message.velocity for message in controls)
    assert any(message.lists for message in controls)
    assert len(controls) > len(controlled), "some change their mind"


def test_follow_ups_do_not_crowd_out_requests() -> None:
    """In a run of a simulated day and in one of many days."""
    for accounts, least, most in ((10_000, 1.2, 1.6), (1000, 1.6, 2.1)):
        items = list(islice(Traffic(9, accounts, "r").stream(), 40_000))
        asked = sum(type(item.message) is AuthorizationRequest and not item.retry for item in items)
        assert least < len(items) / asked < most


def test_an_agenda_keeps_the_order_of_time_and_then_of_planning(played: list[Labelled]) -> None:
    agenda = Agenda(Random(1), files_twice=False, number=count().__next__)
    first, second, third = played[:3]
    agenda.say(5, second)
    agenda.say(5, third)
    agenda.plan(1, lambda at, subject: subject if at == 1 else None, first)
    agenda.plan(2, lambda _at, _subject: None)
    agenda.run(5)
    assert agenda.take() == [(1, first)]
    agenda.run(6)
    assert agenda.take() == [(5, second), (5, third)]
