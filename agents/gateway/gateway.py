"""What the gateway does: with a frame, with a reply, and when a deadline has passed. It knows no socket and no Kafka.

Every request gets one answer. A request that was answered with 91, or whose approval could not be delivered, is taken
back (agents/gateway/timeout.py), and its repeats are answered with 91 as well: the engine would repeat an approval
whose hold is gone by then.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from agents.gateway import management, replies, timeout
from agents.gateway.in_flight import Caller, InFlight, Parcel, Pending
from agents.gateway.metrics import GatewayMetrics
from agents.gateway.replies import Key
from models.messages import AuthorizationMessage
from topics.iso8583 import Malformed, MalformedReason, Tokenizer, Unencodable, decode, encode_response, refuse
from topics.iso8583 import response_code as code_of
from topics.iso8583.packager import unpack
from topics.iso8583.response import Reply

log = logging.getLogger(__name__)

MAX_TAKEN_BACK: Final = 100_000
"""Most references remembered as taken back, so that their repeats are answered alike."""


class Rules(NamedTuple):
    deadline_s: float = 2.0  # from the arrival of a request to its answer
    max_future_ms: int = 300_000  # the engine takes no message dated further ahead of its arrival


class Bus(Protocol):
    """The way to the engine."""

    def send(self, message: AuthorizationMessage, *, must_arrive: bool = False) -> Parcel:
        """Hand a message over; those of one account arrive in this order. `must_arrive`: try until it has."""
        ...


class _NeverSent:
    """A message that is not handed over: its time was up before its turn came."""

    def withdraw(self) -> bool:
        return True


class Gateway:
    """Not thread-safe: everything is called from one event loop."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        bus: Bus,
        rules: Rules,
        metrics: GatewayMetrics,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        """`clock`: seconds that never jump, for deadlines. `now_ms`: milliseconds since the epoch, for dates."""
        self._tokenizer = tokenizer
        self._bus = bus
        self._rules = rules
        self._metrics = metrics
        self._clock = clock
        self._now_ms = now_ms
        self._in_flight = InFlight(rules.deadline_s)
        self._taken_back: OrderedDict[Key, None] = OrderedDict()
        metrics.in_flight.set_function(lambda: len(self._in_flight))

    def next_deadline(self) -> float | None:
        """When to call `expire` at the latest, on the clock."""
        return self._in_flight.next_deadline()

    def receive(self, raw: bytes, arrived: float, caller: Caller) -> Malformed | None:
        """A frame came in at `arrived` on the clock. What is returned is wrong with it, and has been answered as far
        as it can be."""
        if management.is_management(raw):
            return self._manage(raw, arrived, caller)
        message = self._decode(raw)
        if isinstance(message, Malformed):
            return self._refuse(raw, message, arrived, caller)
        if replies.expected_by(message) in self._taken_back:
            self._answer(raw, timeout.unavailable(raw), timeout.UNAVAILABLE, arrived, caller)
        elif arrived + self._rules.deadline_s <= self._clock():
            self._in_flight.add(raw, message, caller, arrived, _NeverSent())
            self.expire()
        else:
            self._in_flight.add(raw, message, caller, arrived, self._bus.send(message))
        return None

    def hear(self, value: bytes | None) -> None:
        """A record of `authorization-decisions`, of anybody's request."""
        try:
            body = replies.parse(value)
            key = replies.key_of(body)
            if not self._in_flight.awaits(key):
                return
            reply = replies.validate(body)
        except ValueError as error:
            log.warning("a reply that is none: %s", type(error).__name__)
            return
        pending = self._in_flight.settle(key, reply)
        if pending is not None:
            self._settle(pending, reply)

    def expire(self) -> None:
        """Answer everything whose deadline has come."""
        while (pending := self._in_flight.past_deadline(self._clock())) is not None:
            self._give_up(pending)

    # -- a frame

    def _decode(self, raw: bytes) -> AuthorizationMessage | Malformed:
        received_at = self._now_ms()
        message = decode(raw, received_at, self._tokenizer)
        if isinstance(message, Malformed) or message.transmitted_at <= received_at + self._rules.max_future_ms:
            return message
        return Malformed(MalformedReason.INVALID_ELEMENT, "DE7", "further ahead of its arrival than is taken")

    def _manage(self, raw: bytes, arrived: float, caller: Caller) -> Malformed | None:
        answer = management.answer(raw)
        if isinstance(answer, Malformed):
            return self._refuse(raw, answer, arrived, caller)
        self._answer(raw, answer.response, answer.code, arrived, caller)
        return None

    def _refuse(self, raw: bytes, malformed: Malformed, arrived: float, caller: Caller) -> Malformed:
        self._metrics.malformed.labels(malformed.reason.value).inc()
        response = refuse(raw, malformed)
        if response is None:
            caller.answer(None)
        else:
            self._answer(raw, response, _code(response), arrived, caller)
        return malformed

    # -- a reply

    def _settle(self, pending: Pending, reply: Reply) -> None:
        if not pending.waits:
            self._metrics.late.labels(reply.type).inc()
            self._undo_late(pending.message, reply)
            return
        try:
            response = encode_response(pending.raw, reply)
        except Unencodable as error:
            log.error("the reply to %s cannot be said in ISO 8583: %s", pending.key, error)
            self._refuse_decided(pending, reply)
            return
        delivered = self._answer_pending(pending, response, code_of(reply))
        if not delivered:
            self._metrics.undelivered.inc()
            if not self._in_flight.waiting_beside(pending):  # else the answer to its repeat is the one that counts
                self._undo_decided(pending.message, reply)

    def _refuse_decided(self, pending: Pending, reply: Reply) -> None:
        self._answer_pending(pending, timeout.unavailable(pending.raw), timeout.UNAVAILABLE)
        self._undo_decided(pending.message, reply)

    def _undo_late(self, message: AuthorizationMessage, reply: Reply) -> None:
        """What could be undone without seeing the decision has been."""
        if timeout.undo_unseen(message) is None:
            self._undo_decided(message, reply)

    def _undo_decided(self, message: AuthorizationMessage, reply: Reply) -> None:
        reversal = timeout.undo_decided(message, reply)
        if reversal is not None:
            self._take_back(message, reversal)
        elif timeout.can_hold(message) and timeout.is_approval(reply):
            self._metrics.not_undone.inc()
            log.warning("approved too late, and not undone: the increment to a total %s", message.network_reference)

    # -- a deadline

    def _give_up(self, pending: Pending) -> None:
        """Answer 91 to it and, when it is taken back, to its repeats: the engine's answer to them is void."""
        message = pending.message
        together = self._in_flight.waiting_beside(pending) if timeout.can_hold(message) else [pending]
        unsure = False
        for each in together:
            unsure |= self._in_flight.end(each) or _is_repeat(each.raw)
            self._metrics.timeouts.labels(each.message.type).inc()
            self._answer_pending(each, timeout.unavailable(each.raw), timeout.UNAVAILABLE)
        if unsure and timeout.can_hold(message):
            self._take_back(message, timeout.undo_unseen(message))

    def _take_back(self, message: AuthorizationMessage, reversal: AuthorizationMessage | None) -> None:
        """From now on this authorisation is answered with 91; what it did is reversed."""
        self._taken_back[replies.expected_by(message)] = None
        if len(self._taken_back) > MAX_TAKEN_BACK:
            self._taken_back.popitem(last=False)
        if reversal is not None:
            self._metrics.reversals.inc()
            self._bus.send(reversal, must_arrive=True)

    # -- an answer

    def _answer_pending(self, pending: Pending, response: bytes, code: str) -> bool:
        delivered = self._answer(pending.raw, response, code, pending.arrived, pending.caller)
        self._in_flight.answered(pending)
        return delivered

    def _answer(self, raw: bytes, response: bytes, code: str, arrived: float, caller: Caller) -> bool:
        self._metrics.answered(raw[:4], code, self._clock() - arrived)
        return caller.answer(response)


def _is_repeat(raw: bytes) -> bool:
    """What it repeats may have been decided."""
    return raw[3:4] == b"1"


def _code(response: bytes) -> str:
    """Element 39 of an answer of ours."""
    elements = unpack(response)
    return "" if isinstance(elements, Malformed) else elements[39]
