"""Which status may follow which: the whole tables, written out a second time."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from models.messages import AccountStatusName, CardStatusName
from models.status import AccountStatus, CardStatus, account_may_become, card_may_become

ALL_BUT_ACTIVE = "frozen delinquent-blocked closed charged-off deceased bankrupt"
ACCOUNT_MOVES = {
    "active": ALL_BUT_ACTIVE,
    "frozen": "active delinquent-blocked closed charged-off deceased bankrupt",
    "delinquent-blocked": "active frozen closed charged-off deceased bankrupt",
    "closed": "charged-off deceased bankrupt",
    "charged-off": "closed deceased bankrupt",
    "deceased": "closed charged-off",
    "bankrupt": "closed charged-off deceased",
}
CARD_MOVES = {
    "active": "frozen lost stolen closed",
    "frozen": "active lost stolen closed",
    "lost": "closed",
    "stolen": "closed",
    "closed": "",
    "blocked": "closed",
}


@pytest.mark.parametrize("old", AccountStatus)
@pytest.mark.parametrize("new", AccountStatus)
def test_an_account_makes_the_legal_moves_only(old: AccountStatus, new: AccountStatus) -> None:
    assert account_may_become(old, new) == (new == old or new in ACCOUNT_MOVES[old].split())


@pytest.mark.parametrize("old", CardStatus)
@pytest.mark.parametrize("new", CardStatus)
def test_a_card_makes_the_legal_moves_only(old: CardStatus, new: CardStatus) -> None:
    assert card_may_become(old, new) == (new == old or new in CARD_MOVES[old].split())


def test_no_way_leads_back_from_an_ended_line() -> None:
    """However many moves are made."""
    lending = {AccountStatus.ACTIVE, AccountStatus.FROZEN, AccountStatus.DELINQUENT_BLOCKED}
    for start in set(AccountStatus) - lending:
        reached = {start}
        while more := {new for old in reached for new in AccountStatus if account_may_become(old, new)} - reached:
            reached |= more
        assert not reached & lending


def test_a_card_that_was_out_of_hand_never_works_again() -> None:
    for start in (CardStatus.LOST, CardStatus.STOLEN, CardStatus.BLOCKED, CardStatus.CLOSED):
        assert {new for new in CardStatus if card_may_become(start, new)} <= {start, CardStatus.CLOSED}


def test_every_status_a_message_can_name_is_known_and_the_other_way_round() -> None:
    assert set(get_args(AccountStatusName)) == set(AccountStatus)
    assert set(get_args(CardStatusName)) == set(CardStatus) - {CardStatus.BLOCKED}


def test_rows_from_before_there_were_reasons_still_decode() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode("blocked"), type=CardStatus) is CardStatus.BLOCKED
    for old in ("active", "frozen", "closed"):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=AccountStatus) == old
