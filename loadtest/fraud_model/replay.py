"""Traffic replayed through account profiles: the table that the fraud model learns from.

What an engine would have done is approximated without looking at the labels or at a score: a request is approved
unless it names no valid card or exceeds what the limit leaves over the presented purchases. Requests that fail before
the score (unknown card, wrong or passed expiry) are no rows, but the profile sees them as declined. A retry is answered
from memory: no row, no trace.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtest.traffic import Traffic
from loadtest.traffic.cardholders import DAY_MS
from loadtest.traffic.fraud import PATTERNS
from loadtest.traffic.stream import FLAWS
from models.messages import AuthorizationRequest, PaymentReceived, Presentment
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
    people = {person.account_id: person for person in traffic.people}
    profiles = {account_id: Profile() for account_id in people}
    posted = dict.fromkeys(people, 0)
    matrix, columns = array("f"), [array("q") for _ in range(5)]
    span = days * DAY_MS
    for count, labelled in enumerate(traffic.stream()):
        message = labelled.message
        age = message.transmitted_at - traffic.plan.start_ms
        if age >= span:
            break
        if count % 20_000 == 0:
            progress(age / span)
        if type(message) is Presentment:
            posted[message.account_id] += message.amount
        elif type(message) is PaymentReceived:
            posted[message.account_id] -= message.amount
        elif type(message) is AuthorizationRequest and not labelled.retry and message.account_id in people:
            person, profile = people[message.account_id], profiles[message.account_id]
            approved = labelled.pattern not in FLAWS
            if approved:
                matrix.extend(features(profile, message, person.home, message.transmitted_at))
                pattern = PATTERNS.index(labelled.pattern) if labelled.pattern is not None else HONEST
                row = (pattern, person.number, age, message.amount, profile.approved_count)
                for column, value in zip(columns, row, strict=True):
                    column.append(value)
                approved = posted[message.account_id] + message.amount <= person.credit_limit
            profile.observe(message, message.transmitted_at, approved)
    progress(1.0)
    pattern_, account, age_ms, amount, history = (np.array(column, np.int64) for column in columns)
    return Table(
        np.array(matrix, np.float32).reshape(-1, WIDTH), pattern_.astype(np.int8), account.astype(np.int32), age_ms,
        amount, history.astype(np.int32),
    )  # fmt: skip
