"""What follows requests: presentments and payments, refunds and disputes of what was presented.

Among them what a merchant or the network gets wrong: a refund sent twice, of more than was paid or of nothing that is
known; a dispute that skips a stage, or is about more than is left of the purchase.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from models.messages import AuthorizationRequest, DisputeEvent, PaymentReceived, Presentment, Refund
from tests.support import messages as say
from tests.support.story import ACCOUNTS

PRESENTMENT_PERCENT: Final = 6
PAYMENT_PERCENT: Final = 4
REFUND_PERCENT: Final = 2
DISPUTE_PERCENT: Final = 3
RECENT: Final = 500
"""Requests of which one may be presented, presentments of which one may be refunded or disputed."""
STAGES: Final[dict[str, tuple[str, ...]]] = {
    "chargeback": ("representment",),
    "representment": ("pre-arbitration",),
    "pre-arbitration": ("arbitration-won", "arbitration-lost"),
}
ARBITRATION: Final = STAGES["pre-arbitration"]

Moved = AuthorizationRequest | Presentment | PaymentReceived | Refund | DisputeEvent


class Money:
    """Of one chapter, whose accounts begin with `prefix`. Feed it every message of the story."""

    def __init__(self, random_: Random, prefix: str) -> None:
        self._random, self._prefix = random_, prefix
        self._requests: deque[AuthorizationRequest] = deque(maxlen=RECENT)
        self._presented: deque[Presentment] = deque(maxlen=RECENT)
        self._refunds: deque[Refund] = deque(maxlen=RECENT)
        self._disputes: deque[DisputeEvent] = deque(maxlen=RECENT)

    def after(self, message: Any) -> Iterator[Moved]:
        """Now and then something about money, at times of its own between two messages of the story: no two messages of
        an account that come over different topics name the same."""
        at = message.transmitted_at + 50
        if isinstance(message, AuthorizationRequest):
            self._requests.append(message)
        kind = self._random.random() * 100
        if (kind := kind - PRESENTMENT_PERCENT) < 0:
            yield from self._present(at)
        elif (kind := kind - PAYMENT_PERCENT) < 0:
            account = f"{self._prefix}acct-{self._random.randrange(ACCOUNTS)}"
            yield say.payment(self._random.randrange(1, 50_000), f"pay-{at}", account, transmitted_at=at)
        elif (kind := kind - REFUND_PERCENT) < 0:
            yield from self._refund(at)
        elif kind - DISPUTE_PERCENT < 0:
            yield from self._dispute(at)

    def _present(self, at: int) -> Iterator[Presentment]:
        random_ = self._random
        if not self._requests:
            return
        about = random_.choice(self._requests)
        account, final = f"{self._prefix}{about.account_id}", random_.random() < 0.8
        amount = about.amount if random_.random() < 0.8 else random_.randrange(1, 30_000)
        presented = say.presentment(
            about.network_reference, amount, f"pres-{at}", account, transmitted_at=at, final=final
        )
        self._presented.append(presented)
        yield presented

    def _refund(self, at: int) -> Iterator[AuthorizationRequest | Refund]:
        """Some are asked for before, some come twice, some name no purchase."""
        random_ = self._random
        if not self._presented:
            return
        if self._refunds and random_.random() < 0.15:
            yield random_.choice(self._refunds)
            return
        about = random_.choice(self._presented)
        account = about.account_id
        amount = about.amount if random_.random() < 0.5 else random_.randrange(1, 2 * about.amount + 1)
        if random_.random() < 0.4:
            yield say.request(f"asked-{at}", amount, account, transmitted_at=at - 20, kind="refund")
        original = about.network_reference if random_.random() < 0.8 else None
        refund = say.refund(original, amount, f"refund-{at}", account, transmitted_at=at)
        self._refunds.append(refund)
        yield refund

    def _dispute(self, at: int) -> Iterator[DisputeEvent]:
        """A new one, or the next stage of one; now and then it is the wrong stage."""
        random_ = self._random
        begun = [dispute for dispute in self._disputes if dispute.stage in STAGES]
        if begun and random_.random() < 0.65:
            last = random_.choice(begun)
            self._disputes.remove(last)
            stage = random_.choice(STAGES[last.stage] if random_.random() < 0.9 else ARBITRATION)
            about, amount, account = last.original_reference, last.amount, last.account_id
        elif self._presented:
            presented = random_.choice(self._presented)
            stage, about, account = "chargeback", presented.network_reference, presented.account_id
            amount = presented.amount if random_.random() < 0.7 else random_.randrange(1, 30_000)
        else:
            return
        dispute = say.dispute(stage, amount, about, f"dispute-{at}", account, transmitted_at=at)
        self._disputes.append(dispute)
        yield dispute
