"""Rows and requests of a million accounts, made of a few hundred simulated ones.

Simulated traffic of `TEMPLATES` accounts goes through the engine; what it leaves of them are the template rows, and the
requests that come next in the same traffic are kept. Account `n` of a population is a copy of template `n % TEMPLATES`
under an id of its own: its row is what the engine would have written, and its requests name its cards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from aiokafka import ConsumerRecord
from faust.types import TP

from agents.engine import Engine
from loadtest.openloop import Progress
from loadtest.simulation import prepare
from loadtest.spool import Group, Record, Spool, encode
from models.authorization import Policy
from models.messages import AccountOpened, AuthorizationRequest
from models.scoring.onnx import FraudModel
from tables import rows
from tables.sweep import RoundRobin
from topics import codec

TEMPLATES: Final = 200
HISTORY: Final = 5
"""Requests behind each template's row, with all that followed them: rows of the usual size, about 740 bytes."""

MOST_REQUESTS: Final = 200
"""Kept for a template; an account that is asked for more begins again."""


@dataclass(frozen=True, slots=True)
class Template:
    """One simulated account."""

    opening: AccountOpened
    row: bytes  # of account 0 of a population
    requests: tuple[AuthorizationRequest, ...]  # what it asks next


@dataclass(frozen=True, slots=True)
class Prelude:
    """The traffic that templates are made of: a `loadtest.simulation.Playlist`."""

    total: int
    seed: int
    accounts: int = TEMPLATES
    follow_ups: bool = True


def account_id(number: int) -> str:
    """Always as long, so that one account's row becomes another's by its id."""
    return f"scaled-{number:09d}"


def templates(requests_each: float, seed: int, now_ms: int, on_progress: Progress) -> list[Template]:
    """Accounts with a history and about `requests_each` requests to come, all dated before `now_ms`.

    Raises ValueError when so little traffic brings no account that has both.
    """
    to_come = min(MOST_REQUESTS, max(4, round(requests_each)))
    spool = Spool()
    try:
        plan = Prelude(TEMPLATES * (HISTORY + to_come), seed)
        traffic = prepare(plan, f"t{seed}", 1, now_ms, spool, on_progress)
        openings = {opening.account_id: opening for opening in traffic.openings()}
        groups = iter(spool)
        history = islice(groups, TEMPLATES * HISTORY)
        lived = _lived([(encode(opening, 1),) for opening in openings.values()], history)
        found = list(_with_requests(openings, lived, _requests(groups)))
    finally:
        spool.close()
    if not found:
        raise ValueError("the traffic is too short for a single template")
    return found


def _lived(openings: Iterable[Group], history: Iterable[Group]) -> dict[bytes, bytes]:
    """account id -> row, after the engine has decided all of it, group by group."""
    stored: dict[bytes, bytes] = {}
    engine = Engine(
        lambda _partition, key: stored.get(key),
        FraudModel.load(),
        Policy(),
        max_future_ms=0,
        sweeper=RoundRobin(lambda _partition, _after, _limit: []),
        partitions=1,
    )
    offset = 0
    for group in (*openings, *history):
        records: dict[TP, list[ConsumerRecord]] = defaultdict(list)
        for record in group:
            records[TP(record.topic, 0)].append(_as_consumed(record, offset))
            offset += 1
        for changed in engine.decide(records, 0).rows.values():
            stored.update(changed)
    return stored


def _as_consumed(record: Record, offset: int) -> ConsumerRecord:
    """As if the broker had stamped it when it was made; `max_future_ms` of the engine is 0."""
    at_ms = codec.decode(record.topic, record.key, record.value).transmitted_at
    return ConsumerRecord(record.topic, 0, offset, at_ms, 1, record.key, record.value, None, 0, 0, ())


def _requests(groups: Iterable[Group]) -> dict[str, list[AuthorizationRequest]]:
    found: dict[str, list[AuthorizationRequest]] = defaultdict(list)
    for request, *_follow_ups in groups:
        message = codec.decode(request.topic, request.key, request.value)
        if isinstance(message, AuthorizationRequest):
            found[message.account_id].append(message)
    return found


def _with_requests(
    openings: dict[str, AccountOpened], lived: dict[bytes, bytes], requests: dict[str, list[AuthorizationRequest]]
) -> Iterator[Template]:
    for name, opening in openings.items():
        if not requests[name]:
            continue
        account = rows.decode(lived[name.encode()])
        account.account_id = account_id(0)
        yield Template(opening, rows.encode(account), tuple(requests[name]))


@dataclass(frozen=True)
class Population:
    """Accounts 0 to `size` - 1."""

    templates: Sequence[Template]
    size: int

    def rows(self, numbers: Iterable[int]) -> Iterator[tuple[bytes, bytes]]:
        """(key, row) of these accounts as they are at the beginning."""
        first = account_id(0).encode()
        for number in numbers:
            key = account_id(number).encode()
            yield key, self._template(number).row.replace(first, key, 1)

    def openings(self, run_id: str) -> Iterator[AccountOpened]:
        """What would open each account."""
        for number in range(self.size):
            opening, name = self._template(number).opening, account_id(number)
            yield replace(opening, account_id=name, message_id=f"{run_id}-open-{number}")

    def requests(self, numbers: Iterable[int], run_id: str, partitions: int) -> Iterator[Group]:
        """The next request of each of these accounts, alone in its group, under references of its own."""
        asked: dict[int, int] = defaultdict(int)
        for k, number in enumerate(numbers):
            mine = self._template(number).requests
            reference = f"{run_id}-{k}"
            request = replace(
                mine[asked[number] % len(mine)], account_id=account_id(number), network_reference=reference
            )
            asked[number] += 1
            yield (encode(request, partitions, reference),)

    def _template(self, number: int) -> Template:
        return self.templates[number % len(self.templates)]
