"""More money on an open hold: another night, another drink. Answered like a request, but never scored."""

from __future__ import annotations

from models import hold
from models.account import UNKNOWN_CARD, Account
from models.answers import AuthorizationAnswer, add_posted, fingerprint_of, is_posted, remember
from models.authorization import Declined, decision, decline_unknown_account, replay, unremembered
from models.messages import AuthorizationIncrement, JournalEntry
from models.outcomes import DeclineReason
from models.result import Result
from models.status import AccountStatus, CardStatus


def increase(account: Account | None, message: AuthorizationIncrement) -> Result:
    """Approve what fits into the open-to-buy; a total that is not larger changes nothing and is approved."""
    if account is None:
        return decline_unknown_account(message)
    print_ = fingerprint_of(message)
    answer = account.answers.get(message.network_reference)
    if answer is not None:
        return replay(account, message, answer, print_)
    if is_posted(account.posted, message.type, message.network_reference):
        return Result(unremembered(message, DeclineReason.STALE_DUPLICATE, account), [], changed=False)
    if account.is_held(message.network_reference, account.time_of(message.transmitted_at)):
        return Result(unremembered(message, DeclineReason.CONFLICTING_DUPLICATE, account), [], changed=False)
    now = hold.advance(account, message.transmitted_at)
    entries = hold.expire(account, now)
    open_to_buy = account.open_to_buy(now)
    declined = _first_failed_check(account, message, open_to_buy)
    total = None
    if declined is None:
        addition = _addition(account, message)
        open_to_buy -= addition
        entries += _grow(account, message, addition, now)
        total = account.holds[message.original_reference].authorized
    reason, detail, _control = declined or (None, None, None)
    stored = AuthorizationAnswer(print_, now, reason, open_to_buy, None, [], None, total, detail=detail)
    remember(account.answers, message.network_reference, stored, now)
    return Result(decision(message, stored), entries, changed=True)


def _first_failed_check(account: Account, message: AuthorizationIncrement, open_to_buy: int) -> Declined | None:
    held = account.holds.get(message.original_reference)
    if held is None:
        return Declined(DeclineReason.NO_MATCHING_HOLD)
    card = None if held.card == UNKNOWN_CARD else list(account.cards.values())[held.card]
    if card is None or card.status is not CardStatus.ACTIVE:
        return Declined(DeclineReason.CARD_NOT_ACTIVE, None if card is None else card.status)
    if account.status is not AccountStatus.ACTIVE:
        return Declined(DeclineReason.ACCOUNT_NOT_ACTIVE, account.status)
    if message.currency != account.currency:
        return Declined(DeclineReason.CURRENCY_MISMATCH)
    if _addition(account, message) > max(open_to_buy, 0):
        return Declined(DeclineReason.INSUFFICIENT_OPEN_TO_BUY)
    return None


def _addition(account: Account, message: AuthorizationIncrement) -> int:
    if message.amount_is == "delta":
        return message.amount
    return max(0, message.amount - account.holds[message.original_reference].authorized)


def _grow(account: Account, message: AuthorizationIncrement, addition: int, now: int) -> list[JournalEntry]:
    reference = message.original_reference
    held = account.holds[reference]
    if not addition:
        return []
    account.posted = add_posted(account.posted, message.type, message.network_reference)
    held.authorized += addition
    held.expires_at = now + held.life_ms
    return hold.resize(account, reference, held, held.amount + addition, now)
