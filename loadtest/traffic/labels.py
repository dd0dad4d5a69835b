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

    @property
    def request(self) -> AuthorizationRequest:
        """The message, where it is known to be a request."""
        return self.message  # type: ignore[return-value]
