"""Which names stand in an outgoing field that is declared as a string.

They are open sets: the engine learns new outcomes without a new version of the message, so a schema lists them as
`x-known-values` and does not refuse others. A consumer treats a name it does not know as "something else happened".
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from models import messages
from models.journal import EntryType, LedgerAccount
from models.matching import MatchRule
from models.outcomes import AdviceOutcome, DeclineReason, ReversalOutcome, UpdateOutcome

BY_FIELD: Final[dict[tuple[type, str], type[StrEnum]]] = {
    (messages.AuthorizationDecision, "reason"): DeclineReason,
    (messages.AdviceAcknowledgement, "outcome"): AdviceOutcome,
    (messages.ReversalAcknowledgement, "outcome"): ReversalOutcome,
    (messages.AccountUpdate, "outcome"): UpdateOutcome,
    (messages.AccountUpdate, "match_rule"): MatchRule,
    (messages.JournalEntry, "entry_type"): EntryType,
    (messages.Posting, "ledger_account"): LedgerAccount,
}
