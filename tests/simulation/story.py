"""What the network, the clearing house and the bank send in one history: everything that can meet on a few accounts;
some of it twice, late, or before what it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from loadtest.spool import encode
from tests.simulation.schedule import Schedule
from tests.support import messages as say

PARTITIONS = 3
AMOUNTS = (1, 300, 700, 1500, 4000)
ACCOUNTS = tuple(f"acct-{number}" for number in range(7))


class Sent:
    """A message with the topic and partition it goes to."""

    def __init__(self, message: Any) -> None:
        self.topic, self.partition, self.key, self.value, _reference = encode(message, PARTITIONS)
        self.at = message.transmitted_at


def story(schedule: Schedule, count: int) -> list[Sent]:
    """The accounts' openings somewhere near the beginning, then `count` messages."""
    told: list[Any] = [say.opened(account, credit_limit=schedule.choose([2_000, 20_000])) for account in ACCOUNTS]
    requested: list[tuple[str, str]] = [("ref-none", ACCOUNTS[0])]
    for number in range(count):
        told.append(_message(schedule, number, requested))
    for place in range(1, len(told)):
        if schedule.chance(0.1):  # it overtakes some of those before it
            told.insert(max(0, place - schedule.between(1, 6)), told.pop(place))
        if schedule.chance(0.1):  # and is sent again later
            told.insert(min(len(told), place + schedule.between(1, 12)), told[place])
    return [Sent(message) for message in told]


def _message(schedule: Schedule, number: int, requested: list[tuple[str, str]]) -> Any:
    make = schedule.choose(MAKERS)
    return make(schedule, number, requested, transmitted_at=say.T0 + (number + 1) * 60 * say.SECOND)


def _request(schedule: Schedule, number: int, requested: list[tuple[str, str]], **at: int) -> Any:
    account = schedule.choose(ACCOUNTS)
    requested.append((f"ref-{number}", account))
    return say.request(f"ref-{number}", schedule.choose(AMOUNTS), account, **at)


def _increment(schedule: Schedule, number: int, requested: list[tuple[str, str]], **at: int) -> Any:
    reference, account = schedule.choose(requested[-6:])
    return say.increment(reference, schedule.choose(AMOUNTS), f"inc-{number}", account, **at)


def _completion(schedule: Schedule, number: int, requested: list[tuple[str, str]], **at: int) -> Any:
    reference, account = schedule.choose(requested[-6:])
    return say.completion(reference, schedule.choose(AMOUNTS), f"adv-{number}", account, **at)


def _stand_in(schedule: Schedule, number: int, _requested: list[tuple[str, str]], **at: int) -> Any:
    return say.stand_in(f"sti-{number}", schedule.choose(AMOUNTS), schedule.choose(ACCOUNTS), **at)


def _reversal(schedule: Schedule, number: int, requested: list[tuple[str, str]], **at: int) -> Any:
    reference, account = schedule.choose(requested[-6:])
    part = schedule.choose([None, None, schedule.choose(AMOUNTS)])
    return say.reversal(reference, f"rev-{number}", account, amount=part, **at)


def _early_reversal(schedule: Schedule, number: int, _requested: list[tuple[str, str]], **at: int) -> Any:
    return say.reversal(f"ref-{number + 2}", f"rev-{number}", schedule.choose(ACCOUNTS), **at)


def _presentment(schedule: Schedule, number: int, requested: list[tuple[str, str]], **at: int) -> Any:
    reference, account = schedule.choose(requested[-6:])
    final = schedule.flip()
    return say.presentment(reference, schedule.choose(AMOUNTS), f"pres-{number}", account, final=final, **at)


def _payment(schedule: Schedule, number: int, _requested: list[tuple[str, str]], **at: int) -> Any:
    return say.payment(schedule.choose(AMOUNTS), f"pay-{number}", schedule.choose(ACCOUNTS), **at)


def _limit(schedule: Schedule, number: int, _requested: list[tuple[str, str]], **at: int) -> Any:
    return say.limit(schedule.choose([1_000, 8_000]), f"limit-{number}", schedule.choose(ACCOUNTS), **at)


MAKERS: tuple[Callable[..., Any], ...] = (
    *[_request] * 8, _increment, _completion, _stand_in, _reversal, _reversal, _early_reversal, _presentment,
    _presentment, _payment, _limit,
)  # fmt: skip
