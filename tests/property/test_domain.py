"""Random messages in any order, with repeats, against the pure domain. What must hold after every one of them:

the auditor, an independent model, gives the same answer
open-to-buy = limit - posted balance - live holds; no hold appears or vanishes but by a named entry
every journal entry balances; sequences have no gap
a repeat gets the stored answer and changes nothing
the row survives its own encoding
"""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models import authorization, lifecycle, servicing
from models.account import Account
from models.authorization import FraudScore, Policy, Screened
from models.messages import AuthorizationRequest, Inbound, JournalEntry
from tables import rows
from tests.support import messages as say
from tests.support.auditor import Auditor

POLICY = Policy()
ACCOUNT = "acct-1"
AMOUNTS = st.sampled_from([1, 999, 1000, 25_000, 80_000, 500_000, 500_001])


CLOCK_STEPS = st.sampled_from([0, 0, say.SECOND, say.SECOND, 3_600_000, say.DAY, 8 * say.DAY, -say.SECOND])
KINDS = st.sampled_from(["request", "request", "request", "reversal", "presentment", "payment", "opening", "repeat"])
# (kind, amount, clock step, how far back a reference points, a one in ten accident, final or changed)
STEPS = st.tuples(KINDS, AMOUNTS, CLOCK_STEPS, st.integers(0, 5), st.integers(0, 9), st.booleans())


def tell(steps: list[Any]) -> list[Inbound]:
    """The messages of a story about one account. Times run mostly forward, sometimes backward; references point at a
    recent request or at nothing; a repeat is of one of the last three messages, sometimes with other content."""
    story: list[Inbound] = [say.opened(ACCOUNT)]
    now = say.T0
    for number, (kind, amount, step, back, accident, flag) in enumerate(steps):
        now += step
        earlier = f"ref-{number - back}"
        currency = "EUR" if accident == 0 else "USD"
        if kind == "request":
            card = {1: {"card_token": "card-other"}, 2: {"card_expiry": 203011}}.get(accident, {})
            message: Inbound = say.request(f"ref-{number}", amount, transmitted_at=now, currency=currency, **card)
        elif kind == "reversal":
            message = say.reversal(earlier, f"rev-{number}", transmitted_at=now)
        elif kind == "presentment":
            message = say.presentment(
                earlier, amount, f"pres-{number}", final=flag, transmitted_at=now, currency=currency
            )
        elif kind == "payment":
            message = say.payment(amount, f"pay-{number}", transmitted_at=now, currency=currency)
        elif kind == "opening":
            message = say.opened(ACCOUNT, message_id=f"open-{number}", transmitted_at=now)
        else:
            message = replace(story[-1 - back % min(3, len(story))], transmitted_at=now)
            if flag and getattr(message, "amount", None) is not None:
                message = replace(message, amount=message.amount + 1)
        story.append(message)
    return story if len(steps) % 7 else story[1:]  # now and then nobody opens the account first


stories = st.lists(STEPS, min_size=1, max_size=40).map(tell)
scores = st.lists(st.sampled_from([0, 899_999, 900_000]), min_size=1, max_size=5)


class Domain:
    """Applies one message after the other to one account, the way the engine does."""

    def __init__(self) -> None:
        self.account: Account | None = None
        self.entries: list[JournalEntry] = []

    def apply(self, message: Inbound, score: FraudScore | None = None) -> Any:
        before = None if self.account is None else rows.encode(self.account)
        result = self._decide(message, score)
        after = None if self.account is None else rows.encode(self.account)
        assert result.changed or before == after, "unchanged means that not a byte of the row differs"
        self.entries += result.entries
        if after is not None:
            self.account = rows.decode(after)
        return result.reply

    def _decide(self, message: Inbound, score: FraudScore | None) -> Any:
        account = self.account
        if not isinstance(message, AuthorizationRequest):
            result = lifecycle.handle(account, message, POLICY)
            self.account = result.opened or account
            return result
        if account is None:
            return authorization.decline_unknown_account(message)
        screened = authorization.screen(account, message)
        return authorization.decide(screened, score, POLICY) if isinstance(screened, Screened) else screened


@given(stories, scores)
def test_engine_and_auditor_agree(story: list[Inbound], scores: list[int]) -> None:
    domain, auditor = Domain(), Auditor()
    for message, ppm in zip(story, cycle(scores), strict=False):
        reply = domain.apply(message, FraudScore(ppm, ["amount"], "fraud-test"))
        auditor.check(message, reply)
        if domain.account is not None:
            auditor.check_entries(ACCOUNT, domain.entries)
            book = auditor.books[ACCOUNT]
            assert domain.account.open_to_buy(book.latest) == book.open_to_buy(book.latest)


@given(stories)
def test_every_story_told_twice_changes_nothing_the_second_time(story: list[Inbound]) -> None:
    """Each message is repeated at once, as a network does: A1, A2, A4."""
    once, twice = Domain(), Domain()
    for message in story:
        first = once.apply(message)
        assert twice.apply(message) == first
        later = replace(message, transmitted_at=message.transmitted_at + say.SECOND)
        repeated = twice.apply(later)
        parked = {"conflicting-duplicate", "unknown-account", "account-exists", "currency-mismatch"}
        if {getattr(first, "outcome", None), getattr(first, "reason", None)}.isdisjoint(parked):
            assert repeated == first
    assert twice.account == once.account
    assert twice.entries == once.entries


@given(stories, st.integers(0, 40 * say.DAY))
def test_sweeping_ended_holds_changes_no_open_to_buy(story: list[Inbound], later: int) -> None:
    domain = Domain()
    for message in story:
        domain.apply(message)
    if domain.account is None:
        return
    now = domain.account.as_of + later
    before, held = domain.account.open_to_buy(now), domain.account.open_holds()
    entries = servicing.sweep(domain.account, now)
    assert domain.account.open_to_buy(now) == before
    assert domain.account.open_holds() == held - sum(entry.postings[0].amount for entry in entries)
    assert all(hold.expires_at > now for hold in domain.account.holds.values())
