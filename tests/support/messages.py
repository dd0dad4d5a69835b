"""Messages with sensible defaults: a test names only what it is about."""

from __future__ import annotations

from typing import Any

from models.messages import (
    AccountOpened,
    AccountStatusChanged,
    AuthorizationAdvice,
    AuthorizationIncrement,
    AuthorizationRequest,
    CardStatusChanged,
    ClockTick,
    ControlsSet,
    CreditLimitChanged,
    DisputeEvent,
    PaymentReceived,
    Presentment,
    Refund,
    Reversal,
)

T0 = 1_790_000_000_000
"""2026-09-21T14:13:20Z: the first moment of every test's story."""
SECOND = 1000
DAY = 86_400_000


def opened(account: str = "acct-1", **changes: Any) -> AccountOpened:
    content: dict[str, Any] = {
        "message_id": f"open-{account}", "account_id": account, "card_token": f"card-{account}", "card_expiry": 203012,
        "credit_limit": 500_000, "currency": "USD", "home_country": "US", "transmitted_at": T0,
    }  # fmt: skip
    return AccountOpened("account-opened", 1, **(content | changes))


def request(
    reference: str = "ref-1", amount: int = 1000, account: str = "acct-1", **changes: Any
) -> AuthorizationRequest:
    content: dict[str, Any] = {
        "network_reference": reference, "account_id": account, "card_token": f"card-{account}", "card_expiry": 203012,
        "amount": amount, "currency": "USD", "merchant_id": "merchant-1", "merchant_name": "Corner Shop",
        "merchant_country": "US", "mcc": 5411, "entry_mode": "chip", "card_present": True,
        "transmitted_at": T0 + SECOND,
    }  # fmt: skip
    return AuthorizationRequest("authorization-request", 1, **(content | changes))


def increment(
    original: str = "ref-1", amount: int = 500, reference: str = "inc-1", account: str = "acct-1", **changes: Any
) -> AuthorizationIncrement:
    content: dict[str, Any] = {
        "network_reference": reference, "original_reference": original, "account_id": account, "amount": amount,
        "amount_is": "delta", "currency": "USD", "transmitted_at": T0 + 2 * SECOND,
    }  # fmt: skip
    return AuthorizationIncrement("authorization-increment", 1, **(content | changes))


def completion(
    original: str | None = "ref-1", amount: int = 800, reference: str = "adv-1", account: str = "acct-1", **changes: Any
) -> AuthorizationAdvice:
    """The final amount of an authorisation of ours."""
    return _advice("completion", reference, amount, account, {"original_reference": original} | changes)


def stand_in(
    reference: str = "ref-1", amount: int = 1000, account: str = "acct-1", **changes: Any
) -> AuthorizationAdvice:
    """What the network decided on our behalf."""
    return _advice("stand-in", reference, amount, account, changes)


def _advice(reason: str, reference: str, amount: int, account: str, changes: dict[str, Any]) -> AuthorizationAdvice:
    content: dict[str, Any] = {
        "network_reference": reference, "account_id": account, "reason": reason, "approved": True,
        "card_token": f"card-{account}", "amount": amount, "currency": "USD", "merchant_id": "merchant-1",
        "merchant_name": "Corner Shop", "merchant_country": "US", "mcc": 5411, "entry_mode": "chip",
        "card_present": True, "transmitted_at": T0 + 2 * SECOND,
    }  # fmt: skip
    return AuthorizationAdvice("authorization-advice", 1, **(content | changes))


def reversal(reference: str = "ref-1", message_id: str = "rev-1", account: str = "acct-1", **changes: Any) -> Reversal:
    content: dict[str, Any] = {
        "message_id": message_id, "network_reference": reference, "account_id": account,
        "transmitted_at": T0 + 2 * SECOND,
    }  # fmt: skip
    return Reversal("reversal", 1, **(content | changes))


def presentment(
    reference: str = "ref-1", amount: int = 1000, message_id: str = "pres-1", account: str = "acct-1", **changes: Any
) -> Presentment:
    content: dict[str, Any] = {
        "message_id": message_id, "network_reference": reference, "account_id": account, "amount": amount,
        "currency": "USD", "merchant_id": "merchant-1", "merchant_name": "Corner Shop", "mcc": 5411, "final": True,
        "transmitted_at": T0 + DAY,
    }  # fmt: skip
    return Presentment("presentment", 1, **(content | changes))


def refund(
    original: str | None = "ref-1", amount: int = 1000, message_id: str = "refund-1", account: str = "acct-1",
    **changes: Any,
) -> Refund:  # fmt: skip
    content: dict[str, Any] = {
        "message_id": message_id, "account_id": account, "amount": amount, "currency": "USD",
        "merchant_id": "merchant-1", "merchant_name": "Corner Shop", "mcc": 5411, "transmitted_at": T0 + 2 * DAY,
        "original_reference": original,
    }  # fmt: skip
    return Refund("refund", 1, **(content | changes))


def dispute(
    stage: str = "chargeback", amount: int = 1000, original: str = "ref-1", message_id: str = "dispute-1",
    account: str = "acct-1", **changes: Any,
) -> DisputeEvent:  # fmt: skip
    content: dict[str, Any] = {
        "message_id": message_id, "account_id": account, "original_reference": original, "stage": stage,
        "amount": amount, "currency": "USD", "transmitted_at": T0 + 2 * DAY,
    }  # fmt: skip
    return DisputeEvent("dispute-event", 1, **(content | changes))


def payment(amount: int = 1000, message_id: str = "pay-1", account: str = "acct-1", **changes: Any) -> PaymentReceived:
    content: dict[str, Any] = {
        "message_id": message_id, "account_id": account, "amount": amount, "currency": "USD",
        "transmitted_at": T0 + 2 * DAY,
    }  # fmt: skip
    return PaymentReceived("payment-received", 1, **(content | changes))


def account_status(
    status: str = "frozen", message_id: str = "status-1", account: str = "acct-1", **changes: Any
) -> AccountStatusChanged:
    content: dict[str, Any] = {
        "message_id": message_id, "account_id": account, "status": status, "transmitted_at": T0 + SECOND,
    }  # fmt: skip
    return AccountStatusChanged("account-status-changed", 1, **(content | changes))


def card_status(
    status: str = "frozen", message_id: str = "card-status-1", account: str = "acct-1", **changes: Any
) -> CardStatusChanged:
    content: dict[str, Any] = {
        "message_id": message_id, "account_id": account, "card_token": f"card-{account}", "status": status,
        "transmitted_at": T0 + SECOND,
    }  # fmt: skip
    return CardStatusChanged("card-status-changed", 1, **(content | changes))


def limit(
    credit_limit: int = 400_000, message_id: str = "limit-1", account: str = "acct-1", **changes: Any
) -> CreditLimitChanged:
    content: dict[str, Any] = {
        "message_id": message_id, "account_id": account, "credit_limit": credit_limit, "currency": "USD",
        "transmitted_at": T0 + SECOND,
    }  # fmt: skip
    return CreditLimitChanged("credit-limit-changed", 1, **(content | changes))


def controls(message_id: str = "controls-1", account: str = "acct-1", **changes: Any) -> ControlsSet:
    """Controls of the account; name `card_token` for a card's. Without more they allow everything."""
    content: dict[str, Any] = {"message_id": message_id, "account_id": account, "transmitted_at": T0 + SECOND}
    return ControlsSet("controls-set", 1, **(content | changes))


def tick(at: int) -> ClockTick:
    return ClockTick("clock-tick", 1, at)


def one_of_each() -> list[Any]:
    """One of every type and kind, in an order in which most of them do something."""
    return [
        opened(time_zone="America/New_York"),
        request(stan="000001", rrn="123456789012", partial_approval=True, merchant_city="Springfield"),
        request("ref-2", 0, kind="account-verification", avs_result="Y", cvv_result="M"),
        request("ref-3", 2000, kind="cash-advance", entry_mode="magstripe", merchant_name="☕ Kaffee™"),
        increment(),
        completion(),
        stand_in("ref-4"),
        reversal("ref-3"),
        presentment(),
        refund(),
        dispute(),
        payment(),
        account_status("frozen"),
        card_status("lost"),
        limit(200_000),
        controls(),
        tick(T0),
    ]
