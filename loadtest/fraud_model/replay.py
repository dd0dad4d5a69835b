"""Traffic replayed through account profiles: the table that the fraud model learns from.

What an engine would have done is approximated without looking at the labels or at a score: a request is approved
unless it names no valid card or exceeds what the limit leaves over what was posted. Requests that fail before the score
(unknown card, wrong or passed expiry, overtaken by their reversal) are no rows, but the profile sees them as
declined. Verifications and refunds are never scored, and a repeated message is answered from memory: no row, no trace.
Blocked accounts, frozen cards and controls are left out: they stop one request in a thousand.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtest.traffic import Labelled, Traffic
from loadtest.traffic.cardholders import DAY_MS
from loadtest.traffic.fraud import PATTERNS
from loadtest.traffic.labels import FLAWS
from models.authorization import UNSCORED_KINDS
from models.messages import (
    AuthorizationRequest,
    CreditLimitChanged,
    DisputeEvent,
    PaymentReceived,
    Presentment,
    Refund,
)
from models.profile import Profile
from models.scoring.features import WIDTH, features

HONEST: Final = -1
"""`pattern` of a row that is no fraud; others index PATTERNS."""


@dataclass(frozen=True)
class Table:
    """One row per scored request, in the order of time."""

    matrix: npt.NDArray[np.float32]  # [n, WIDTH]
    pattern: npt.NDArray[np.int8]  # index in PATTERNS, or HONEST
    account: npt.NDArray[np.int32]  # the cardholder's number
    age_ms: npt.NDArray[np.int64]  # since the start of the traffic
    amount: npt.NDArray[np.int64]  # minor units
    history: npt.NDArray[np.int32]  # requests approved before

    @property
    def fraud(self) -> npt.NDArray[np.bool_]:
        """True for fraudulent rows."""
        mask: npt.NDArray[np.bool_] = self.pattern != HONEST
        return mask

    def where(self, rows: npt.NDArray[np.bool_]) -> Table:
        """The rows selected by a mask."""
        columns = (self.matrix, self.pattern, self.account, self.age_ms, self.amount, self.history)
        return Table(*(column[rows] for column in columns))  # type: ignore[arg-type]


def replay(traffic: Traffic, days: int, progress: Callable[[float], None] = lambda _: None) -> Table:
    """The first `days` simulated days; `progress` gets the share done."""
    replayed = _Replay(traffic)
    span = days * DAY_MS
    for count, labelled in enumerate(traffic.stream()):
        age = labelled.message.transmitted_at - traffic.plan.start_ms
        if age >= span:
            break
        if count % 20_000 == 0:
            progress(age / span)
        if not labelled.retry:
            replayed.take(labelled, age)
    progress(1.0)
    return replayed.table()


_SIGN: Final[dict[type, int]] = {Presentment: 1, PaymentReceived: -1, Refund: -1}
_DISPUTED: Final = {"chargeback": -1, "representment": 1, "pre-arbitration": -1, "arbitration-lost": 1}


class _Replay:
    """What an engine would know of every account, and the rows so far."""

    def __init__(self, traffic: Traffic) -> None:
        self._people = {person.account_id: person for person in traffic.people}
        self._limits = {person.account_id: person.credit_limit for person in traffic.people}
        self._profiles = {account_id: Profile() for account_id in self._people}
        self._posted = dict.fromkeys(self._people, 0)
        self._matrix, self._columns = array("f"), [array("q") for _ in range(5)]

    def take(self, labelled: Labelled, age: int) -> None:
        """A message that was not seen before, `age` ms after the start."""
        message = labelled.message
        kind = type(message)
        if kind is AuthorizationRequest:
            if message.account_id in self._people and labelled.request.kind not in UNSCORED_KINDS:
                self._decide(labelled, age)
        elif kind in _SIGN:
            self._posted[message.account_id] += _SIGN[kind] * message.amount  # type: ignore[union-attr, operator]
        elif isinstance(message, DisputeEvent):
            self._posted[message.account_id] += _DISPUTED.get(message.stage, 0) * message.amount
        elif isinstance(message, CreditLimitChanged):
            self._limits[message.account_id] = message.credit_limit

    def _decide(self, labelled: Labelled, age: int) -> None:
        request, account_id = labelled.request, labelled.request.account_id
        person, profile = self._people[account_id], self._profiles[account_id]
        approved = labelled.pattern not in FLAWS and not labelled.late
        if approved:
            self._matrix.extend(features(profile, request, person.home, request.transmitted_at))
            pattern = PATTERNS.index(labelled.pattern) if labelled.pattern is not None else HONEST
            row = (pattern, person.number, age, request.amount, profile.approved_count)
            for column, value in zip(self._columns, row, strict=True):
                column.append(value)
            approved = self._posted[account_id] + request.amount <= self._limits[account_id]
        profile.observe(request, request.transmitted_at, approved)

    def table(self) -> Table:
        """All rows."""
        pattern, account, age_ms, amount, history = (np.array(column, np.int64) for column in self._columns)
        return Table(
            np.array(self._matrix, np.float32).reshape(-1, WIDTH), pattern.astype(np.int8), account.astype(np.int32),
            age_ms, amount, history.astype(np.int32),
        )  # fmt: skip
