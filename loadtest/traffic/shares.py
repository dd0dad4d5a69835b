"""How often things happen in the simulated traffic, and where each figure comes from.

*Assumed* means that no public figure was found: the order of size is meant to be right, and rare things happen often
enough for a run of minutes to see them. A share is of requests unless the comment says otherwise.
"""

from __future__ import annotations

from typing import Final

# -- what is asked for --

CASH_ADVANCE: Final = 0.005
"""Assumed. In the US cash withdrawals are 3.7 for 157 billion card payments, 2.4 % (Federal Reserve Payments Study
2022, figures of 2021), most of them on debit cards: a credit card pays interest from the first day."""
QUASI_CASH: Final = 0.0015  # assumed
VERIFIED: Final = 0.006  # assumed: a card is put on file with a zero amount
OFFLINE: Final = 0.003  # assumed: taken without an authorisation (aboard, underground), presented all the same
FLAWED: Final = 0.002  # assumed: unknown card or account, expiry of the card before this one
SPREE: Final = 0.05  # assumed: a purchase followed by another one within minutes
JOURNEYS_A_YEAR: Final = 2.5
"""Abroad, of a cardholder with a median income (assumed; it grows with the square root of the income)."""
JOURNEY_DAYS: Final = 7.0  # assumed: on average; 2 to 21
FAVOURITE: Final = 0.72  # assumed, of purchases at home: at one of the three merchants one always goes to
FOREIGN_SHOP: Final = 0.06  # assumed, of online purchases: at a merchant abroad
PARTIAL_TERMINALS: Final = 0.35  # assumed, of merchants; US rules ask fuel pumps, grocers and restaurants for it

# -- what the network makes of it --

REPEATED: Final = 0.004  # assumed, of all messages: sent again
STOOD_IN_ANYWAY: Final = 0.0002  # assumed: our answer was late, the network decided as well
OVERTAKEN: Final = 0.0003  # assumed: timed out, and the reversal was faster than the request
OUTAGE_EVERY_HOURS: Final = 4.0
"""Assumed, as are the seconds: 0.3 % of the time, far more than in life, so that a run of some hours sees outages."""
OUTAGE_SECONDS: Final = (20.0, 70.0)
STOOD_IN_DECLINED: Final = 0.04  # assumed, of stand-in decisions

# -- what becomes of an approval; shares of approvals --

CANCELLED: Final = 0.016  # assumed: reversed at the till within ten minutes
TIMED_OUT: Final = 0.002  # assumed: the decision came after the network's deadline
MALFUNCTION: Final = 0.002  # assumed: the terminal failed (half), or the merchant feared fraud
CUT: Final = 0.004  # assumed: an article is not in stock, a part is reversed before the rest is presented
REVERSED: Final = CANCELLED + TIMED_OUT + MALFUNCTION + CUT
PRESENTED: Final = 0.92  # assumed; the rest is never heard of again
FRAUD_PRESENTED: Final = 0.3  # of fraudulent charges, as if most had been stopped
PRESENTED_AFTER_DECLINE: Final = 0.01  # assumed, of requests believed declined: presented nevertheless

COMPLETED: Final = 0.9  # assumed, of approvals at fuel pumps: a completion advice tells the real amount
DROVE_OFF: Final = 0.02  # assumed, of these: nothing was taken; half as zero, half as declined
GROWING: Final = 0.5  # assumed, of stays and tabs: increased one to three times
TOTALS: Final = 0.4  # assumed, of increments: named as a new total, the others as what comes on top
TIPPED: Final = 0.3  # assumed: the presentment is 15-20 % above the authorisation

# -- clearing; shares of presented purchases --

SEVERAL: Final = 0.04  # assumed: presented in two or three parts
UNFINISHED: Final = 0.25  # assumed, of these: the last part is not marked final, the rest of the hold expires
LATE: Final = 0.002  # assumed: 8 to 12 days after the authorisation
UNREFERENCED: Final = 0.02  # assumed: without the network's reference, so that card, merchant and amount must do
ONLY_RRN: Final = 0.5  # assumed, of these: at least the retrieval reference is there

RETURNED_SHOP: Final = 0.08
"""Of purchases of goods. Retailers count returned goods, not payments: 9 % of those bought in shops, 30 % of those
bought online (Invesp); a purchase is often returned in part, or exchanged."""
RETURNED_ONLINE: Final = 0.15
REFUND_UNLINKED: Final = 0.2  # assumed, of refunds: does not name the purchase
REFUND_PARTIAL: Final = 0.4  # assumed, of refunds
REFUND_AUTHORIZED: Final = 0.5  # assumed, of refunds: asked for before
REFUNDED_TWICE: Final = 0.02  # assumed, of linked refunds: sent again under another identity

CHARGED_BACK: Final = 0.00016
"""1.6 basis points of the number of Visa and MasterCard sales (Hayashi, Markiewicz and Sullivan: Chargebacks, Federal
Reserve Bank of Kansas City, RWP 16-01, 2016)."""
FRAUD_CHARGED_BACK: Final = 0.25
"""Assumed, of presented fraud; simulated fraud is ten times as frequent as real fraud, so chargebacks are as well."""
REPRESENTED: Final = 0.4
"""Assumed. 70 to 80 % of chargebacks end as the merchant's loss (same paper), represented or not."""
PRE_ARBITRATION: Final = 0.4  # assumed, of representments
ARBITRATED: Final = 0.9  # assumed, of pre-arbitrations; half of them won
REFUNDED_AS_WELL: Final = 0.05  # assumed, of chargebacks: the merchant refunds too

# -- payments; habits are shares of accounts, the others of payments --

HABITS: Final = (0.45, 0.33, 0.22)
"""Who pays all of the statement, some of it, the least. Of active US card accounts 44 % pay in full
(American Bankers Association, Credit Card Market Monitor, third quarter of 2022: 33.6 transactors to 43.4 revolvers);
29 % pay the minimum or nearly so (Keys and Wang, Journal of Financial Economics, 2019). How the last two share the rest
is assumed."""
CARELESS: Final = 0.15  # assumed, of accounts: often late
CARELESS_LATE: Final = 0.3  # assumed, of their payments: after the due date
CAREFUL_LATE: Final = 0.02  # assumed, of the others' payments
BOUNCED: Final = (0.002, 0.01, 0.03)
"""Assumed, in the order of HABITS: the bank returns it for lack of funds."""
TRIED_AGAIN: Final = 0.75  # assumed, of returned payments: paid within a week
BLOCKED_LATE_DAYS: Final = 12.0  # assumed: an account this late is blocked until it has paid
EARLY_AT: Final = 0.8  # assumed, of the limit: who owes so much pays a part early
LEAST_PAYMENT: Final = 2_500  # US cents: the least payment is this or MINIMUM of the statement
MINIMUM: Final = 0.03  # usual: 1 % of the balance, and interest

# -- servicing --

CONTROLLED: Final = 0.03  # assumed, of accounts: the cardholder has set controls
LIMIT_CHANGED: Final = 0.0015  # assumed: about twice a year for an account with three requests a day
BLOCKED: Final = 0.00015  # assumed: the account is frozen for some hours
TRIED_BLOCKED: Final = 0.2  # assumed, of purchases on a blocked account: the holder tries all the same
CARD_FROZEN: Final = 0.0003  # assumed: mislaid, frozen in the app, found again
GUARDED: Final = 0.0005  # assumed: for an unknown shop the card is made good for one use, or for one merchant
CARD_LOST: Final = 0.00008  # assumed: lost or stolen, about once in eleven years
MOST_LOST: Final = 0.02  # of accounts: a lost card ends an account's traffic, and a long run must keep its accounts
