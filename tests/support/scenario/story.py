"""What a scenario is. Amounts are minor units of the account's currency, times milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.messages import Inbound


class ScenarioError(ValueError):
    """The file is no scenario; the text names the file, the step and the key."""


class BadKey(ValueError):
    """What is wrong with which key; whoever knows the step and the file adds them."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")


@dataclass(frozen=True)
class AccountHeader:
    """The account of a story, as its `account:` line gives it."""

    account_id: str = "A1"
    card: str = "C1"
    expiry: int = 203012
    limit: int = 0
    currency: str = "USD"
    zone: str = "Etc/UTC"
    country: str = "US"
    opened: bool = True  # False: no account exists when the story begins


@dataclass(frozen=True)
class Issuer:
    """The issuer's settings; None is the default of the engine."""

    fraud_cut: int | None = None  # ppm
    stand_in_limit: int | None = None
    hold_life: int | None = None  # ms, of a hold for which no network rule says otherwise
    shed_after: int | None = None  # ms


@dataclass(frozen=True)
class Expected:
    """What must come of one message."""

    outcome: str | None  # None: no reply
    reply: Mapping[str, Any]  # fields of the reply
    same_as: str | None = None  # the reply is equal to that to the message of this label, and nothing changes
    dead_letter: str | None = None  # the reason


@dataclass(frozen=True)
class Said:
    """One message of a step."""

    label: str  # "3"; "3.2" is the second message of step 3
    text: str  # as the file has it
    message: Inbound
    expected: Expected
    literal: Mapping[str, str] = field(default_factory=dict)  # field -> JSON text in its place
    code_from: str | None = None  # its approval code is that in the reply to the message of this label


@dataclass(frozen=True)
class After:
    """The account after a step. What is None is not checked."""

    figures: tuple[int, int, int] | None  # held, balance, open-to-buy; None before the account exists
    review: int | None = None  # refunds in review
    entries: tuple[tuple[str, int], ...] | None = None
    flagged: tuple[str, ...] | None = None  # references of the holds that stand-in advices have placed
    scored: tuple[tuple[str, int], ...] = ()  # late fraud scores: reference, ppm


@dataclass(frozen=True)
class Step:
    """What ONE slice holds, and what the account looks like after it."""

    number: int
    said: tuple[Said, ...]
    after: After
    score: int | None = None  # ppm that the fraud model gives; None: an unsuspicious one
    model_down: bool = False
    worker: int = 1
    waited: int = 0  # ms that the slice has been waiting


@dataclass(frozen=True)
class Scenario:
    """A story, ready to be played."""

    name: str
    title: str
    source: str
    account: AccountHeader
    start: int
    issuer: Issuer
    has_model: bool
    steps: tuple[Step, ...]
