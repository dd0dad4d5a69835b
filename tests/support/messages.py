"""Messages with sensible defaults: a test names only what it is about."""

from __future__ import annotations

from typing import Any

from models.messages import AccountOpened, AuthorizationRequest, ClockTick, PaymentReceived, Presentment, Reversal

T0 = 1_790_000_000_000
"""2026-09-21T14:13:20Z: the first moment of every test's story."""
SECOND = 1000
DAY = 86_400_000


def opened(account: str = "acct-1", **changes: Any) -> AccountOpened:
    content = {
        "message_id": f"open-{account}", "account_id": account, "card_token": f"card-{account}", "card_expiry": 203012,
        "credit_limit": 500_000, "currency": "USD", "home_country": "US", "transmitted_at": T0,
    }  # fmt: skip
    return AccountOpened("account-opened", 1, **(content | changes))


def request(
    reference: str = "ref-1", amount: int = 1000, account: str = "acct-1", **changes: Any
) -> AuthorizationRequest:
    content = {
        "network_reference": reference, "account_id": account, "card_token": f"card-{account}", "card_expiry": 203012,
        "amount": amount, "currency": "USD", "merchant_id": "merchant-1", "merchant_name": "Corner Shop",
        "merchant_country": "US", "mcc": 5411, "entry_mode": "chip", "card_present": True,
        "transmitted_at": T0 + SECOND,
    }  # fmt: skip
    return AuthorizationRequest("authorization-request", 1, **(content | changes))


def reversal(reference: str = "ref-1", message_id: str = "rev-1", account: str = "acct-1", **changes: Any) -> Reversal:
    content = {
        "message_id": message_id, "network_reference": reference, "account_id": account,
        "transmitted_at": T0 + 2 * SECOND,
    }  # fmt: skip
    return Reversal("reversal", 1, **(content | changes))


def presentment(
    reference: str = "ref-1", amount: int = 1000, message_id: str = "pres-1", account: str = "acct-1", **changes: Any
) -> Presentment:
    content = {
        "message_id": message_id, "network_reference": reference, "account_id": account, "amount": amount,
        "currency": "USD", "merchant_id": "merchant-1", "merchant_name": "Corner Shop", "mcc": 5411, "final": True,
        "transmitted_at": T0 + DAY,
    }  # fmt: skip
    return Presentment("presentment", 1, **(content | changes))


def payment(amount: int = 1000, message_id: str = "pay-1", account: str = "acct-1", **changes: Any) -> PaymentReceived:
    content = {
        "message_id": message_id, "account_id": account, "amount": amount, "currency": "USD",
        "transmitted_at": T0 + 2 * DAY,
    }  # fmt: skip
    return PaymentReceived("payment-received", 1, **(content | changes))


def tick(at: int) -> ClockTick:
    return ClockTick("clock-tick", 1, at)
