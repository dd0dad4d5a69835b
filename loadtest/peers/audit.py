"""Was every request decided, once, and rightly? Both topics are read whole and compared with the job's own rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import msgspec

from loadtest import clients
from loadtest.peers import job
from loadtest.peers.decided import whole_topic
from loadtest.peers.stage import Stage

_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Audit:
    """Counts over all requests of a round, greetings and warm-up included."""

    requests: int  # records on the input topic
    decisions: int  # committed records on the output topic
    missing: int  # decisions that should be there and are not
    extra: int  # decisions beyond one for every record
    wrong: int  # decisions that are not what the rules give, or not what was answered before

    @property
    def clean(self) -> bool:
        """Each request decided exactly once and rightly."""
        return self.missing == self.extra == self.wrong == 0


def audit(stage: Stage) -> Audit:
    """Read both topics of a stage to their ends; raises PeerFailed if that takes too long."""
    answers, due = _reference(stage)
    given: Counter[str] = Counter()
    wrong = 0
    decode = msgspec.json.Decoder(job.Decision).decode
    for message in whole_topic(stage.cluster, stage.decisions, stage.partitions, _SECONDS):
        decision = decode(clients.value_of(message))
        given[decision.request_id] += 1
        wrong += decision not in answers.get(decision.request_id, ())
    return compared(due, given, wrong)


def compared(due: Counter[str], given: Counter[str], wrong: int) -> Audit:
    """What is missing from `given`, and what is beyond `due`; both count by request id."""
    missing = sum((due - given).values())
    extra = sum((given - due).values())
    return Audit(due.total(), given.total(), missing, extra, wrong)


def _reference(stage: Stage) -> tuple[dict[str, list[job.Decision]], Counter[str]]:
    """What the rules give for the input as it lies there, partition by partition: (request id -> right decisions,
    request id -> how many are due). A repeat has another right decision only if its first answer was forgotten."""
    rows: dict[str, job.Row] = {}
    answers: dict[str, list[job.Decision]] = {}
    due: Counter[str] = Counter()
    decode = msgspec.json.Decoder(job.Request).decode
    for message in whole_topic(stage.cluster, stage.requests, stage.partitions, _SECONDS):
        request = decode(clients.value_of(message))
        row = rows.setdefault(request.account_id, job.Row())
        decision = job.addressed(request, job.answer(row, request)[0])
        right = answers.setdefault(request.request_id, [])
        if decision not in right:
            right.append(decision)
        due[request.request_id] += 1
    return answers, due
