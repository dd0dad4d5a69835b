"""A second, simpler model of an account that checks the engine's replies and journal entries.

It is a reading of docs/lifecycle.md and nothing else: of `models/` it knows the messages, not one function. It keeps
everything for ever and derives every figure anew from a list of facts, so it is slow and hard to get wrong:

    posted balance   what was presented, less what was paid, refunded and charged back
    held             what a hold's journal entries add up to
    open-to-buy      limit - posted balance - holds that have not ended by now

It cannot know the fraud model's mind: score, model and whether the model was there are taken from the reply. Where the
account's memory is bounded, the engine may answer as if it remembered or as the page says for what is forgotten.

    agreement    the one way to disagree
    book         the facts of one account
    memory       what the account must still remember, and what it may have forgotten
    requests     requests and increments
    holds        advices and reversals
    clearing     presentments, refunds, disputes
    servicing    openings, payments, limits, statuses, controls
    controls     velocity, lists and toggles over the full list of approvals
    calendar     months, time zones, and the life of a hold
    auditor      feeds each message to its part and compares
"""

from tests.support.auditor.agreement import Disagreement, same
from tests.support.auditor.auditor import Auditor
from tests.support.auditor.book import Book

__all__ = ["Auditor", "Book", "Disagreement", "same"]
