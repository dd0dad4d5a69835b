"""The facts of one account, and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from models.messages import AccountOpened, ControlsSet

ON_A_HOLD = {
    "hold-placed": +1,
    "hold-increased": +1,
    "hold-reduced": -1,
    "hold-released": -1,
    "hold-consumed": -1,
    "hold-expired": -1,
}
ON_THE_BALANCE = {
    "presentment-posted": +1,
    "cash-advance-posted": +1,
    "chargeback-reversed": +1,
    "payment-posted": -1,
    "refund-posted": -1,
    "chargeback-credited": -1,
}
MOST_HOLDS = 200
PURCHASES_REMEMBERED = 32
EARLY_REVERSALS_REMEMBERED = 16
DAY = 86_400_000


@dataclass
class Hold:
    """Money set aside; `movements` are its journal entries (type, amount)."""

    reference: str
    card: str
    merchant: str
    rrn: str | None
    approval_code: str | None
    placed_at: int
    life: int
    ends_at: int
    authorised: int
    movements: list[tuple[str, int]] = field(default_factory=list)

    def held(self) -> int:
        return sum(ON_A_HOLD[kind] * amount for kind, amount in self.movements)

    def cleared(self) -> int:
        return sum(amount for kind, amount in self.movements if kind == "hold-consumed")


@dataclass
class Purchase:
    """What was presented under one network reference and what came back of it; `chain` is its dispute."""

    presented: int = 0
    refunded: int = 0
    chain: list[tuple[str, int]] = field(default_factory=list)

    def charged_back(self) -> int:
        """Net of what was taken back again."""
        credited = sum(amount for stage, amount in self.chain if stage in {"chargeback", "pre-arbitration"})
        debited = sum(amount for stage, amount in self.chain if stage in {"representment", "arbitration-lost"})
        return credited - debited

    def left(self) -> int:
        return self.presented - self.refunded - self.charged_back()


@dataclass
class Approval:
    """One approval that velocity counts."""

    at: int
    amount: int
    card: str
    merchant: str


@dataclass
class Controls:
    """Controls in force and how many approvals there had been when they were set."""

    rules: ControlsSet
    since: int


@dataclass
class Answer:
    """A reply the account remembers for a while. `number` and `known` count the answers and the known ids before it;
    `moved`: the message wrote to the journal."""

    content: Any
    reply: Any
    at: int
    number: int
    known: int | None
    moved: bool


@dataclass
class Book:
    """Everything that ever happened to one account."""

    opening: AccountOpened
    latest: int
    credit_limit: int
    status: str = "active"
    cards: dict[str, str] = field(default_factory=dict)  # token -> status
    holds: dict[str, Hold] = field(default_factory=dict)  # whose end has not been written down
    purchases: dict[str, Purchase] = field(default_factory=dict)  # in the order of their last presentment
    placed: set[str] = field(default_factory=set)  # references that ever had a hold
    consumed: dict[str, str] = field(default_factory=dict)  # hold -> reference of the presentment that matched it last
    early: dict[str, int] = field(default_factory=dict)  # reference -> when its reversal came, in this order
    approvals: list[Approval] = field(default_factory=list)
    controls: dict[str | None, Controls] = field(default_factory=dict)  # of the account (None) and of cards
    journal: list[list[tuple[str, int]]] = field(default_factory=list)  # entries that belong together, in any order
    answered: dict[tuple[str, str], Answer] = field(default_factory=dict)
    answers: int = 0
    known: int = 0

    # -- figures

    def balance(self) -> int:
        return sum(ON_THE_BALANCE.get(kind, 0) * amount for group in self.journal for kind, amount in group)

    def held(self, now: int) -> int:
        return sum(hold.held() for hold in self.holds.values() if now < hold.ends_at)

    def unswept(self) -> int:
        """What the journal says is held: ended holds count until their end is written down."""
        return sum(hold.held() for hold in self.holds.values())

    def open_to_buy(self, now: int) -> int:
        return self.credit_limit - self.balance() - self.held(now)

    # -- movements

    def move_to(self, now: int) -> None:
        """A change at `now`: first the holds that have ended are written down."""
        self.latest = now
        ended = [hold for hold in self.holds.values() if hold.ends_at <= now]
        self.journal.append([])
        for hold in ended:
            self.move(hold, "hold-expired", hold.held())
        self.journal.append([])

    def write(self, kind: str, amount: int) -> None:
        """A journal entry of this change."""
        if amount:
            self.journal[-1].append((kind, amount))

    def place(self, hold: Hold, amount: int) -> None:
        self.holds[hold.reference] = hold
        self.placed.add(hold.reference)
        self.move(hold, "hold-placed", amount)

    def move(self, hold: Hold, kind: str, amount: int) -> None:
        """A movement of a hold; one with nothing left ends."""
        if amount:
            hold.movements.append((kind, amount))
            self.write(kind, amount)
        if hold.held() == 0:
            del self.holds[hold.reference]

    # -- what is remembered

    def open_hold(self, reference: str | None, now: int) -> Hold | None:
        hold = self.holds.get(reference or "")
        return hold if hold is not None and now < hold.ends_at else None

    def purchase(self, reference: str | None) -> Purchase | None:
        """The purchase presented under this reference, or that used up the hold of this reference; if it is one of the
        last that were presented."""
        last = list(self.purchases)[-PURCHASES_REMEMBERED:]
        for name in (reference, self.consumed.get(reference or "")):
            if name is not None and name in last:
                return self.purchases[name]
        return None

    def present(self, reference: str, amount: int) -> None:
        last = list(self.purchases)[-PURCHASES_REMEMBERED:]
        purchase = self.purchases[reference] if reference in last else Purchase()
        purchase.presented += amount
        self.purchases.pop(reference, None)
        self.purchases[reference] = purchase

    def has_room_for_hold(self, now: int) -> bool:
        return sum(now < hold.ends_at for hold in self.holds.values()) < MOST_HOLDS

    def remember_early(self, reference: str, now: int) -> None:
        self.early.pop(reference, None)
        self.early[reference] = now

    def reversed_early(self, reference: str, now: int) -> bool:
        last = list(self.early)[-EARLY_REVERSALS_REMEMBERED:]
        return reference in last and now - self.early[reference] <= DAY

    def approvals_since(self, card: str | None) -> Iterator[Approval]:
        """Approvals that the controls of the account (None) or of one card count."""
        since = self.controls[card].since
        return (approval for approval in self.approvals[since:] if card is None or approval.card == card)
