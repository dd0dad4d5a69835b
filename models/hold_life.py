"""How long a hold may last: a dated table, first match wins.

The networks say how long a merchant may take to clear what was approved; after that an issuer may let the money go.
They differ:

* Visa, since 13 April 2024: five days with the card present, ten without it, five when the merchant initiates, thirty
  for estimates (lodging, vehicle rental, cruise, other rentals). Until then seven without the card and, in the Visa
  Core Rules of that time, thirty-one for lodging, vehicle rental and cruise.
* Mastercard, since October 2016 (in Europe since November 2013): thirty days for a preauthorisation, seven for
  anything else.

We follow Visa where the request tells its cases apart, and Mastercard's seven days and thirty days for the rest:
general purchases (`general_ms`, set by OTB_HOLD_DAYS) and preauthorisations. Lodging, vehicle rental and cruise count
as estimates even when the request does not say so; what such a merchant asks for later (more nights, damage) as well.

A day is 24 hours from the decision. The networks count calendar days, so a presentment of the last evening may come
after the hold; it then posts without one.
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


_VERIFICATION: Final = Rule(1, kind="account-verification")  # no money is held and none is cleared: ours

PERIODS: Final = (
    Period(
        0,
        (
            _VERIFICATION,
            # Visa Core Rules up to the edition of October 2023, validity of approval responses. Its seven days without
            # the card are the general life:
            # https://www.braintreepayments.com/blog/visa-compliance-updates-new-authorization-expiration-time-frames/
            Rule(31, travel=True),
            # Mastercard, revised standards for authorisations, October 2016:
            # https://www.vantiv.com/merchant-resources/national-newscenter/mastercard-revised-standards-authorizations-integrity-fees
            Rule(30, pre_authorization=True),
        ),
    ),
    Period(
        1_712_966_400_000,  # 2024-04-13T00:00:00Z: Visa makes validity and clearing one time frame
        (
            _VERIFICATION,
            # https://usa.visa.com/support/merchant/library/visa-merchant-business-news-digest.html (February 2024)
            # https://www.checkout.com/merchant-communications/visa-update-new-authorization-processing-timeframes
            Rule(30, travel=True),
            # Visa: estimated; Mastercard: preauthorisation, as before
            # https://developer.revolut.com/docs/guides/merchant/operations/capture-and-settlement/advanced-authorisation/clearing-windows
            Rule(30, pre_authorization=True),
            # Five and ten days, as an issuer applies them:
            # https://www.airwallex.com/docs/issuing/transactions/authorization-expiration
            Rule(5, initiated_by="merchant"),
            Rule(5, entry_mode="recurring"),  # a standing instruction is the merchant's, whatever `initiated_by` says
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
