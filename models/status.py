"""The statuses of accounts and cards, and which may follow which.

What decides is who may lawfully and safely go back. Fraud and credit risk freeze and unfreeze; everything that ends the
credit line is for good, because the line is reported as ended, its cards are void and a new agreement is needed to lend
again. But the *debt* outlives the line: an account that is closed, written off, or whose holder has died or is
bankrupt still moves between those until nothing is owed. (That a debt is charged off 180 days past due, and after a
bankruptcy or death: US Uniform Retail Credit Classification and Account Management Policy, 65 Fed. Reg. 36903.)

    account             may become
    active              anything
    frozen              anything; also active again
    delinquent-blocked  anything; active again once it is paid up
    closed              charged-off, deceased, bankrupt (what is still owed goes on ageing); never open again
    charged-off         closed (settled or sold), deceased, bankrupt
    deceased            closed (the estate paid), charged-off (it could not)
    bankrupt            closed (discharged or paid), charged-off, deceased

    card                may become
    active              frozen, lost, stolen, closed
    frozen              active, lost, stolen, closed
    lost, stolen        closed: whoever finds it may have copied it, so it never works again
    closed              nothing
    blocked             closed; rows written before there were reasons still hold this value, nothing leads to it
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class AccountStatus(StrEnum):
    ACTIVE = "active"
    FROZEN = "frozen"
    DELINQUENT_BLOCKED = "delinquent-blocked"
    CLOSED = "closed"
    CHARGED_OFF = "charged-off"
    DECEASED = "deceased"
    BANKRUPT = "bankrupt"


class CardStatus(StrEnum):
    ACTIVE = "active"
    FROZEN = "frozen"
    LOST = "lost"
    STOLEN = "stolen"
    CLOSED = "closed"
    BLOCKED = "blocked"  # only in rows from before the reasons above


_ENDED: Final = frozenset(
    {AccountStatus.CLOSED, AccountStatus.CHARGED_OFF, AccountStatus.DECEASED, AccountStatus.BANKRUPT}
)
_OPEN: Final = frozenset(AccountStatus) - _ENDED
_ACCOUNT_MOVES: Final[dict[AccountStatus, frozenset[AccountStatus]]] = {
    **dict.fromkeys(_OPEN, frozenset(AccountStatus)),
    **dict.fromkeys(_ENDED, _ENDED),
    AccountStatus.DECEASED: _ENDED - {AccountStatus.BANKRUPT},
}
_CARD_MOVES: Final[dict[CardStatus, frozenset[CardStatus]]] = {
    **dict.fromkeys((CardStatus.ACTIVE, CardStatus.FROZEN), frozenset(CardStatus) - {CardStatus.BLOCKED}),
    **dict.fromkeys((CardStatus.LOST, CardStatus.STOLEN, CardStatus.BLOCKED), frozenset({CardStatus.CLOSED})),
    CardStatus.CLOSED: frozenset(),
}


def account_may_become(old: AccountStatus, new: AccountStatus) -> bool:
    """Whether an account in status `old` may be set to `new`; staying as it is is always legal."""
    return new is old or new in _ACCOUNT_MOVES[old]


def card_may_become(old: CardStatus, new: CardStatus) -> bool:
    """Whether a card in status `old` may be set to `new`; staying as it is is always legal."""
    return new is old or new in _CARD_MOVES[old]
