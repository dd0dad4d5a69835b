"""Plays a story through the real engine, one slice a step, rows encoded and decoded at every commit.

After each step, whatever the file says: every message has its one reply and nothing else was sent, open-to-buy is
limit - balance - held, every entry balances and is numbered without a gap, and the row's held and balance are the sums
of all journal entries. A worker of another number is another engine over the same committed rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

import orjson

from models.authorization import Policy
from models.messages import ClockTick, Inbound
from tables import rows
from tests.support.engine import Bench
from tests.support.scenario.journal import Journal
from tests.support.scenario.model import UNSUSPICIOUS, ScriptedModel
from tests.support.scenario.replies import changes_nothing, implied, take
from tests.support.scenario.sending import build
from tests.support.scenario.story import After, Expected, Issuer, Said, Scenario, Step
from tests.support.scenario.table import Check, Row, table
from tests.support.scenario.values import shown
from topics.codec import TOPIC_OF_TYPE

_REPLY_TOPICS: Final = ("authorization-decisions", "account-updates")
_MONEY: Final = frozenset(
    {"amount", "approved_amount", "held", "released", "open_to_buy", "posted_balance", "open_holds"}
)
_UNREADABLE: Final = "malformed"
"""Such a request is answered without its account being read."""


class StoryFailed(AssertionError):
    """A step did not go as the story says; the text is the table up to it."""


def play(scenario: Scenario) -> list[Row]:
    """Play the whole story; raises StoryFailed at the first step that differs."""
    stage = _Stage(scenario)
    played: list[Row] = []
    for step in scenario.steps:
        row = stage.play(step)
        played.append(row)
        if not row.holds:
            raise StoryFailed(table(f"{scenario.name}: {scenario.title}", played))
    return played


class _Stage:
    """The engine, its committed rows, and what was said and answered so far."""

    def __init__(self, scenario: Scenario) -> None:
        self._account = scenario.account
        self._model = ScriptedModel() if scenario.has_model else None
        self._policy = _policy(scenario.issuer)
        self._rows: dict[tuple[int, bytes], bytes] = {}
        self._workers: dict[int, Bench] = {}
        self._replies: dict[str, dict[str, Any]] = {}  # by label
        self._journal = Journal()
        self._limit = 0
        if scenario.account.opened:
            self._open(scenario)

    def play(self, step: Step) -> Row:
        if self._model is not None:
            self._model.ppm = UNSUSPICIOUS if step.score is None else step.score
            self._model.down = step.model_down
        row_before = self._row()
        messages = [self._completed(said) for said in step.said]
        sent = self._send(messages, step.said, step.worker, step.waited)
        checks = [*self._check_replies(step, sent), *self._check_account(step, messages, sent)]
        if any(changes_nothing(said.expected) for said in step.said) and len(step.said) == 1:
            checks.append(Check("the row", "unchanged", "unchanged" if self._row() == row_before else "changed"))
        return Row(str(step.number), tuple(dict.fromkeys(said.text for said in step.said)), tuple(checks))

    # -- sending

    def _open(self, scenario: Scenario) -> None:
        opening = build("open", {}, scenario.account, scenario.start, "0")
        said = Said("0", "open", opening, Expected("applied", {}))
        self._send([opening], [said], 1)
        self._limit = scenario.account.limit

    def _completed(self, said: Said) -> Inbound:
        """The message with the approval code of an earlier decision, when it quotes one."""
        if said.code_from is None:
            return said.message
        code = self._replies[said.code_from]["approval_code"]
        return replace(said.message, approval_code=code)

    def _send(
        self, messages: Sequence[Inbound], said: Sequence[Said], worker: int, waited: int = 0
    ) -> list[tuple[str, dict[str, Any]]]:
        """Decide all as ONE slice and commit it; returns (topic, record) in order."""
        if worker not in self._workers:
            self._workers[worker] = Bench(model=self._model, policy=self._policy, rows=self._rows)
        bench = self._workers[worker]
        records = [_record(message, one.literal) for message, one in zip(messages, said, strict=True)]
        before = len(bench.sent)
        bench.run(*records, at=max(message.transmitted_at for message in messages), waited_ms=waited)
        sent = bench.sent[before:]
        for topic, entry in sent:
            if topic == "journal-entries" and entry["account_id"] == self._account.account_id:
                self._journal.add(entry)
        return sent

    def _row(self) -> bytes | None:
        return self._rows.get((0, self._account.account_id.encode()))

    # -- checking

    def _check_replies(self, step: Step, sent: list[tuple[str, dict[str, Any]]]) -> Iterable[Check]:
        replies = [record for topic, record in sent if topic in _REPLY_TOPICS]
        for said in step.said:
            reply = take(replies, said.message)
            if reply is not None:
                self._replies[said.label] = reply
            yield from self._check_reply(step, said, reply)
        yield Check("more replies", "0", str(len(replies)))
        parked = [said.expected.dead_letter for said in step.said if said.expected.dead_letter]
        letters = [record["reason"] for topic, record in sent if topic == "dead-letters"]
        yield Check("dead letters", _listed(sorted(parked)), _listed(sorted(letters)))
        scored = [f"{s['network_reference']} {s['fraud_score']}" for topic, s in sent if topic == "fraud-scores"]
        yield Check("scored later", _listed(f"{ref} {ppm}" for ref, ppm in step.after.scored), _listed(scored))

    def _check_reply(self, step: Step, said: Said, reply: dict[str, Any] | None) -> Iterable[Check]:
        expected = said.expected
        name = f"{said.label} " if len(step.said) > 1 else ""
        yield Check(f"{name}outcome", expected.outcome or "nothing", reply["outcome"] if reply else "nothing")
        if reply is None:
            return
        unsaid = {} if expected.same_as else implied(said.message, reply, expected)
        wanted = {**unsaid, **expected.reply}
        for key, value in wanted.items():
            yield Check(f"{name}{key}", self._shown(key, value), self._shown(key, reply.get(key)))
        if expected.same_as is not None:
            earlier = self._replies.get(expected.same_as)
            differing = [key for key in reply if earlier is None or reply[key] != earlier.get(key)]
            yield Check(f"{name}reply", f"that of {expected.same_as}", _likeness(expected.same_as, differing))

    def _check_account(
        self, step: Step, messages: Sequence[Inbound], sent: list[tuple[str, dict[str, Any]]]
    ) -> Iterable[Check]:
        self._note_limit(step)
        yield Check("journal", "", self._journal.fault)
        yield from self._check_entries(step, sent)
        row = self._row()
        if step.after.figures is None or row is None:
            yield Check(
                "account", "none" if step.after.figures is None else "exists", "none" if row is None else "exists"
            )
            return
        yield from self._check_figures(step.after, rows.decode(row), max(m.transmitted_at for m in messages))
        if len(step.said) == 1 and not changes_nothing(step.said[0].expected):
            yield from self._check_told(self._replies.get(step.said[0].label), rows.decode(row))

    def _check_entries(self, step: Step, sent: list[tuple[str, dict[str, Any]]]) -> Iterable[Check]:
        wanted = () if any(s.expected.same_as for s in step.said) and len(step.said) == 1 else step.after.entries
        if wanted is not None:
            made = [
                f"{entry['entry_type']} {self._money(max(posting['amount'] for posting in entry['postings']))}"
                for topic, entry in sent
                if topic == "journal-entries"
            ]
            meant = sorted(f"{kind} {self._money(amount)}" for kind, amount in wanted)
            yield Check("entries", _listed(meant), _listed(sorted(made)))

    def _check_figures(self, after: After, account: Any, at: int) -> Iterable[Check]:
        """`held` are the holds that count at the time of the step; the journal also holds those not yet written off."""
        now = max(at, account.as_of)
        held = sum(hold.amount for hold in account.holds.values() if hold.expires_at > now)
        in_row = sum(hold.amount for hold in account.holds.values())
        balance, sums = account.posted_balance, self._journal.sums
        for what, wanted, got in zip(
            ("held", "balance", "otb"), after.figures or (), (held, balance, account.open_to_buy(now)), strict=True
        ):
            yield Check(what, self._money(wanted), self._money(got))
        yield Check("limit", self._money(self._limit), self._money(account.credit_limit))
        yield Check(
            "otb by its definition", self._money(self._limit - balance - held), self._money(account.open_to_buy(now))
        )
        yield Check("holds in the journal", self._money(in_row), self._money(sums["open-holds"]))
        yield Check("balance in the journal", self._money(balance), self._money(sums["cardholder-receivable"]))
        if after.flagged is not None:
            flagged = (reference for reference, hold in account.holds.items() if hold.stand_in)
            yield Check("flagged", _listed(after.flagged), _listed(flagged))
        if after.review is not None:
            yield Check("review", self._money(after.review), self._money(-sums["refunds-in-review"]))

    def _check_told(self, reply: dict[str, Any] | None, account: Any) -> Iterable[Check]:
        """What the reply says of the account is what the row says at the time of the decision."""
        if reply is None or reply["account_id"] != self._account.account_id or reply.get("reason") == _UNREADABLE:
            return
        now = reply["decided_at"]
        held = sum(hold.amount for hold in account.holds.values() if hold.expires_at > now)
        told = {"open_to_buy": self._limit - account.posted_balance - held, "posted_balance": account.posted_balance}
        for key, value in told.items():
            if key in reply:
                yield Check(f"{key} in the reply", self._money(value), self._money(reply[key]))

    def _note_limit(self, step: Step) -> None:
        """Follow the credit limit in what the story says was applied."""
        for said in step.said:
            limit = getattr(said.message, "credit_limit", None)
            mine = getattr(said.message, "account_id", None) == self._account.account_id
            if mine and limit is not None and said.expected.outcome == "applied" and said.expected.same_as is None:
                self._limit = limit

    def _money(self, minor: int | None) -> str:
        return shown(minor, self._account.currency)

    def _shown(self, key: str, value: Any) -> str:
        if key in _MONEY:
            return self._money(value)
        return "none" if value is None else str(value)


def _policy(issuer: Issuer) -> Policy:
    given = {
        "fraud_cut_ppm": issuer.fraud_cut, "stand_in_limit": issuer.stand_in_limit, "hold_ms": issuer.hold_life,
        "shed_after_ms": issuer.shed_after,
    }  # fmt: skip
    return Policy(**{name: value for name, value in given.items() if value is not None})


def _record(message: Inbound, literal: Mapping[str, str]) -> tuple[str, bytes | None, bytes]:
    """(topic, key, value), with literal JSON text where the story wants it."""
    body = asdict(message) | {name: orjson.Fragment(text) for name, text in literal.items()}
    key = None if isinstance(message, ClockTick) else message.account_id.encode()
    return TOPIC_OF_TYPE[message.type], key, orjson.dumps(body)


def _likeness(label: str, differing: Sequence[str]) -> str:
    return f"that of {label}" if not differing else f"that of {label} but for {', '.join(differing)}"


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items) or "none"
