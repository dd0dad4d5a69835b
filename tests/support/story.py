"""A story for workers under load: everything that comes over the authorisations topic, as networks send it."""

from __future__ import annotations

import random
import time

from models.messages import AuthorizationMessage, AuthorizationRequest
from tests.support import messages as say
from tests.support.traffic import producer, send, wait_for

ACCOUNTS = 200


def just_now() -> int:
    """An hour ago: the clock topic tells real time, and holds must outlive the test."""
    return time.time_ns() // 1_000_000 - 3_600_000


def open_accounts(kafka: str) -> None:
    """The story's accounts; returns when they exist."""
    send(producer(kafka), [say.opened(f"acct-{number}", transmitted_at=just_now()) for number in range(ACCOUNTS)])
    wait_for(kafka, "account-updates", ACCOUNTS)


def story(count: int, seed: int) -> list[AuthorizationMessage]:
    """`count` messages over ACCOUNTS accounts: requests, increments, completions, reversals (some before the request
    they take back), and repeats of what came last."""
    random_ = random.Random(seed)
    told: list[AuthorizationMessage] = []
    requests: list[AuthorizationRequest] = []
    start = just_now()
    for number in range(count):
        at, kind = start + number * 100, random_.random()
        if told and kind < 0.03:
            told.append(told[-1])
        elif requests and kind < 0.15:
            told.append(_follow_up(random_, random_.choice(requests[-500:]), number, at))
        elif kind < 0.16:
            account = f"acct-{random_.randrange(ACCOUNTS)}"
            told.append(say.reversal(f"ref-{number + 40}", f"rev-{number}", account, transmitted_at=at))
        else:
            account = f"acct-{random_.randrange(ACCOUNTS)}"
            request = say.request(f"ref-{number}", random_.randrange(100, 30_000), account, transmitted_at=at)
            requests.append(request)
            told.append(request)
    return told


def _follow_up(random_: random.Random, first: AuthorizationRequest, number: int, at: int) -> AuthorizationMessage:
    reference, account = first.network_reference, first.account_id
    kind = random_.randrange(4)
    if kind == 0:
        return say.increment(reference, random_.randrange(1, 5_000), f"inc-{number}", account, transmitted_at=at)
    if kind == 1:
        return say.completion(reference, random_.randrange(0, 40_000), f"adv-{number}", account, transmitted_at=at)
    part = random_.choice([None, None, random_.randrange(1, 20_000)])
    return say.reversal(reference, f"rev-{number}", account, transmitted_at=at, amount=part)
