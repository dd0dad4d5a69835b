"""A message together with the truth about it."""

from __future__ import annotations

from typing import Final, NamedTuple

from models.messages import (
    AccountStatusChanged,
    AuthorizationMessage,
    AuthorizationRequest,
    CardStatusChanged,
    ClearingMessage,
    ControlsSet,
    CreditLimitChanged,
    PaymentReceived,
)

UNKNOWN_CARD: Final = "unknown-card"
UNKNOWN_ACCOUNT: Final = "unknown-account"
WRONG_EXPIRY: Final = "wrong-expiry"
EXPIRED_CARD: Final = "expired-card"
FLAWS: Final = (UNKNOWN_CARD, UNKNOWN_ACCOUNT, WRONG_EXPIRY, EXPIRED_CARD)

FULL: Final = "full"
PARTIAL: Final = "partial"
LEAST: Final = "minimum"
EARLY: Final = "early"
LATE: Final = "late"
AFTER_RETURN: Final = "after-return"
PAYMENTS: Final = (FULL, PARTIAL, LEAST, EARLY, LATE, AFTER_RETURN)

Message = (
    AuthorizationMessage
    | ClearingMessage
    | PaymentReceived
    | AccountStatusChanged
    | CardStatusChanged
    | CreditLimitChanged
    | ControlsSet
)


class Labelled(NamedTuple):
    """A message and the truth about it, which the engine never sees."""

    message: Message
    fraud: bool = False
    pattern: str | None = None  # the fraud pattern, or the flaw of a request that names no valid card
    retry: bool = False  # an equal message was sent before; `transmitted_at` is still that of the first
    late: bool = False  # a request that its own reversal has overtaken; `transmitted_at` is when it set out
    campaign: str | None = None  # of fraud: charges with the same name were made by the same thieves
    payment: str | None = None  # of a payment: which of PAYMENTS

    def about(self, message: Message) -> Labelled:
        """The same truth about another message."""
        return Labelled(message, self.fraud, self.pattern, campaign=self.campaign)

    @property
    def request(self) -> AuthorizationRequest:
        """The message, where it is known to be a request."""
        return self.message  # type: ignore[return-value]
