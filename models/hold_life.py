"""How long a hold may last: a dated table, first match wins.

The networks say how long a merchant may take to clear what was approved; after that an issuer may let the money go.
They differ. As they publish it:

* Visa, Core Rules since 13 April 2024: five days with the card present, ten without it, five when the merchant
  initiates, thirty for estimates (lodging, vehicle rental, cruise, other rentals). Until then: seven days without the
  card, thirty-one for lodging, vehicle rental and cruise.
* Mastercard, Transaction Processing Rules (everywhere since October 2016, in Europe since November 2013): thirty days
  for a preauthorisation, seven for anything else.

We follow Visa where the request tells its cases apart, and Mastercard's seven days and thirty days for the rest:
general purchases (`general_ms`, set by OTB_HOLD_DAYS) and preauthorisations.
A day is 24 hours from the decision; the networks count calendar days from the day after it, so the presentment of the
last evening may come late and then posts without a hold.
"""

from __future__ import annotations

from itertools import product
from typing import Final, NamedTuple, get_args

from models.messages import EntryMode, RequestKind

DAY_MS: Final = 86_400_000

LODGING: Final = frozenset({*range(3501, 4000), 7011, 7012, 7033})  # hotel chains, hotels, timeshares, campgrounds
VEHICLE_RENTAL: Final = frozenset({*range(3351, 3501), 7512, 7513, 7519})  # chains, cars, trucks, motor homes
CRUISE: Final = frozenset({4411})
TRAVEL: Final = LODGING | VEHICLE_RENTAL | CRUISE


class Rule(NamedTuple):
    """A life for the requests that agree with every condition given; None: any."""

    days: int
    kind: str | None = None
    travel: bool | None = None  # the MCC is in TRAVEL
    pre_authorization: bool | None = None
    initiated_by: str | None = None
    entry_mode: str | None = None


class Period(NamedTuple):
    """The rules for holds placed from a moment on, until the next period begins."""

    effective_from: int  # milliseconds since the epoch
    rules: tuple[Rule, ...]  # what none of them matches has the general life


# A verification holds no money; a day lets retries find it. Visa: zero-amount account verification is not cleared.
_VERIFICATION: Final = Rule(1, kind="account-verification")

PERIODS: Final = (
    Period(
        0,
        (
            _VERIFICATION,
            # Visa Core Rules before April 2024, "Approval Response validity": lodging, vehicle rental, cruise.
            # https://www.braintreepayments.com/blog/visa-compliance-updates-new-authorization-expiration-time-frames/
            Rule(31, travel=True),
            # Mastercard: thirty days for what is coded as a preauthorisation, seven (the general life) otherwise.
            # https://www.vantiv.com/merchant-resources/national-newscenter/mastercard-revised-standards-authorizations-integrity-fees
            Rule(30, pre_authorization=True),
        ),
    ),
    Period(
        1_712_966_400_000,  # 2024-04-13T00:00:00Z: Visa joins validity and clearing into one time frame
        (
            _VERIFICATION,
            # https://www.checkout.com/merchant-communications/visa-update-new-authorization-processing-timeframes
            # https://usa.visa.com/support/merchant/library/visa-merchant-business-news-digest.html (February 2024)
            Rule(30, travel=True),
            Rule(30, pre_authorization=True),  # Visa: estimated; Mastercard: preauthorisation
            # https://www.airwallex.com/docs/issuing/transactions/authorization-expiration (an issuer's reading of it)
            Rule(5, initiated_by="merchant"),
            Rule(5, entry_mode="recurring"),  # a standing instruction is the merchant's, whatever the message says
            Rule(10, entry_mode="ecommerce"),
            Rule(10, entry_mode="manual"),  # mail and telephone orders
        ),
    ),
)


_Case = tuple[bool, str, str, str, bool]


def life_ms(  # noqa: PLR0917 - one argument for each thing a rule may depend on
    kind: str, mcc: int, entry_mode: str, initiated_by: str, pre_authorization: bool, placed_at: int, general_ms: int
) -> int:
    """How long a hold placed at `placed_at` (milliseconds since the epoch) lasts, in milliseconds.

    `kind`, `entry_mode` and `initiated_by` are those of a request; `general_ms` is the life of what no rule names.
    """
    case = (mcc in TRAVEL, kind, entry_mode, initiated_by, pre_authorization)
    for effective_from, lives in _LATEST_FIRST:
        if placed_at >= effective_from:
            return lives.get(case, general_ms)
    return general_ms


def _matches(rule: Rule, case: _Case) -> bool:
    travel, kind, entry_mode, initiated_by, pre_authorization = case
    return (
        rule.travel in {None, travel}
        and rule.kind in {None, kind}
        and rule.entry_mode in {None, entry_mode}
        and rule.initiated_by in {None, initiated_by}
        and rule.pre_authorization in {None, pre_authorization}
    )


def _lives(rules: tuple[Rule, ...]) -> dict[_Case, int]:
    """The rules written out for every case there is, in milliseconds; those of the general life are left out."""
    cases = product(
        (False, True), get_args(RequestKind), get_args(EntryMode), ("cardholder", "merchant"), (False, True)
    )
    first = {case: next((rule.days for rule in rules if _matches(rule, case)), None) for case in cases}
    return {case: days * DAY_MS for case, days in first.items() if days is not None}


_LATEST_FIRST: Final = tuple((period.effective_from, _lives(period.rules)) for period in reversed(PERIODS))
