"""The messages of a story about one account, made from small numbers, so that Hypothesis can shrink it.

References point back to what was requested before, or forward to what will be requested next (a reversal or an advice
that overtakes its request). Times run forward; a message may be late, so that times are out of order by up to a day.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from hypothesis import strategies as st

from models.messages import ListRule, VelocityRule
from tests.support import messages as say

ACCOUNT = "acct-1"
MINUTE = 60 * say.SECOND
WAITS = st.sampled_from(
    [
        say.SECOND,
        MINUTE,
        14 * MINUTE,
        16 * MINUTE,
        60 * MINUTE,
        say.DAY - say.SECOND,
        say.DAY,
        5 * say.DAY,
        7 * say.DAY,
        8 * say.DAY,
    ]
)
AMOUNTS = st.sampled_from([1, 40, 80, 100, 100, 100, 120, 1000, 30_000, 50_001])
BACK = st.sampled_from([0, 0, 0, 1, 1, 2, 3, -1])  # how far a reference points back; -1: to what is still to come
LATE = st.sampled_from([0, 0, 0, 0, say.SECOND, 20 * MINUTE, say.DAY])
SAME_SLICE = st.sampled_from([False, False, True])
MERCHANTS = st.sampled_from(["merchant-1", "merchant-1", "merchant-2"])
RRNS = st.sampled_from([None, "rrn1", "rrn2"])
# now and then something is wrong with the currency, the card or the account
ACCIDENTS = st.sampled_from([*[""] * 27, "currency", "card", "account"])
MODES = st.sampled_from(["chip", "chip", "contactless", "ecommerce", "recurring"])
MCCS = st.sampled_from([5411, 5411, 6011, 7011])
TRAILING = st.builds(
    VelocityRule,
    st.just("trailing"),
    st.just("trailing"),
    st.sampled_from([60, 3600, 7 * 86_400]),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([200, 2000]),
)
CALENDAR = st.builds(
    VelocityRule, st.just("calendar"), st.sampled_from(["day", "week", "month"]), st.none(), st.just(2), st.none()
)
LISTS = st.sampled_from(
    [
        ListRule("no-hotels", "mcc", "deny", ["7011"]),
        ListRule("home-only", "country", "allow", ["US"]),
        ListRule("one-shop", "merchant", "allow", ["merchant-1"]),
        ListRule("no-swipe", "entry-mode", "deny", ["recurring", "contactless"]),
    ]
)
TOGGLES = st.fixed_dictionaries(
    {name: st.sampled_from([True, True, True, False]) for name in ("ecommerce", "atm", "contactless")}
    | {name: st.sampled_from([False, False, False, True]) for name in ("single_use", "merchant_lock")}
)


class Teller:
    """Makes the messages of one story. `codes`: approval codes the engine has given, by reference."""

    def __init__(self) -> None:
        self.now = say.T0
        self.requested = 0  # requests so far: ref-1, ref-2 ...
        self.number = 0  # messages so far
        self.codes: dict[str, str] = {}
        self.rrns: dict[str, str | None] = {}
        self.presented: list[str] = []  # references, as they were presented
        self.told: list[Any] = []

    def reference(self, back: int) -> str:
        """That of the last request (back 0), of the one before it (1) ... or of the next one (-1)."""
        return f"ref-{self.requested - back if self.requested > back else 1}"

    def purchase(self, back: int) -> str:
        """The last reference that was presented (back 0), the one before it ... or one that was not (-1)."""
        return self.presented[-1 - back] if 0 <= back < len(self.presented) else self.reference(back)

    def next_reference(self) -> str:
        self.requested += 1
        return f"ref-{self.requested}"

    def message_id(self) -> str:
        return f"m-{self.number}"

    def tell(self, make: Any, *parts: Any, accident: str = "", late: int = 0, **changes: Any) -> Any:
        """A message by its builder; its identity is its number in the story unless `changes` say otherwise."""
        self.number += 1
        wrong = {
            "currency": {"currency": "EUR"},
            "card": {"card_token": "card-of-nobody"},
            "account": {"account_id": "acct-unknown"},
            "": {},
        }[accident]
        sent = make(*parts, transmitted_at=max(self.now - late, 0), **changes)
        known = {each.name for each in fields(sent)}
        sent = replace(sent, **{name: value for name, value in wrong.items() if name in known})
        self.told.append(sent)
        return sent

    def repeat(self, back: int, different: bool) -> Any:
        """One of the last messages again, at another time; perhaps with other content."""
        sent = replace(self.told[-1 - back % len(self.told)], transmitted_at=self.now)
        if different:
            sent = replace(sent, **_other(sent))
        return sent


def _other(message: Any) -> dict[str, Any]:
    """A change of content that leaves the identity as it is."""
    for name, change in (
        ("amount", lambda amount: (amount or 0) + 1),
        ("credit_limit", lambda limit: limit + 1),
        ("status", lambda status: "closed" if status != "closed" else "frozen"),
        ("single_use", lambda used: not used),
    ):
        if hasattr(message, name):
            return {name: change(getattr(message, name))}
    raise TypeError(message)
