"""Which domain function handles which message: the table of contents of the domain (docs/lifecycle.md in code).

Authorisation requests are not here: they take two steps, with a model run between them (models/authorization.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from models import clearing, dispute, servicing
from models.account import Account
from models.advice import advise
from models.authorization import Policy
from models.increment import increase
from models.messages import (
    AccountOpened,
    AccountStatusChanged,
    AuthorizationAdvice,
    AuthorizationIncrement,
    CardStatusChanged,
    ControlsSet,
    CreditLimitChanged,
    DisputeEvent,
    PaymentReceived,
    Presentment,
    Refund,
    Reversal,
)
from models.result import Result
from models.reversal import reverse

_HANDLERS: Final[dict[type[Any], Callable[[Account | None, Any], Result]]] = {
    AuthorizationIncrement: increase,
    Reversal: reverse,
    Presentment: clearing.present,
    Refund: clearing.refund,
    DisputeEvent: dispute.dispute,
    PaymentReceived: servicing.receive_payment,
    AccountOpened: servicing.open_account,
    AccountStatusChanged: servicing.change_account_status,
    CardStatusChanged: servicing.change_card_status,
    CreditLimitChanged: servicing.change_limit,
    ControlsSet: servicing.set_controls,
}


def handle(account: Account | None, message: Any, policy: Policy) -> Result:
    """Apply any message but an authorisation request. The account is changed in place when the result says so; a new
    one is in `opened`."""
    if type(message) is AuthorizationAdvice:
        return advise(account, message, policy)
    return _HANDLERS[type(message)](account, message)
