"""The gateway without sockets and Kafka: a clock that tests turn, the real engine behind a bus in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from agents.gateway.gateway import Gateway, Rules
from agents.gateway.metrics import GatewayMetrics
from models.messages import AuthorizationMessage
from tests.support import messages as say
from tests.support.engine import Bench
from topics import codec
from topics.iso8583 import Malformed, Origin, encode_request
from topics.iso8583.packager import Elements, unpack

PAN = "9999990000000016"


@dataclass(eq=False)
class Parcel:
    message: AuthorizationMessage
    handed_over: bool
    withdrawn: bool = False

    def withdraw(self) -> bool:
        self.withdrawn = not self.handed_over
        return self.withdrawn


@dataclass
class Bus:
    """Keeps messages until `GatewayBench.engine_works`. While `away`, they don't leave the gateway."""

    away: bool = False
    sent: list[Parcel] = field(default_factory=list)
    must_arrive: list[AuthorizationMessage] = field(default_factory=list)

    def send(self, message: AuthorizationMessage, *, must_arrive: bool = False) -> Parcel:
        parcel = Parcel(message, not self.away)
        self.sent.append(parcel)
        if must_arrive:
            self.must_arrive.append(message)
        return parcel

    def come_back(self) -> None:
        self.away = False
        for parcel in self.sent:
            parcel.handed_over = True


@dataclass
class Line:
    """A connection: every answer that came over it; None for a frame that got none."""

    answers: list[Elements | None] = field(default_factory=list)
    gone: bool = False

    def answer(self, response: bytes | None) -> bool:
        elements = None if response is None else unpack(response)
        assert not isinstance(elements, Malformed)
        self.answers.append(elements)
        return response is None or not self.gone

    @property
    def codes(self) -> list[str | None]:
        """Element 39 of every answer, in order."""
        return [None if elements is None else elements[39] for elements in self.answers]


class GatewayBench:
    """A gateway over an engine with one account, acct-1, whose card is PAN."""

    def __init__(self, credit_limit: int = 100_000, deadline_s: float = 2.0) -> None:
        self.engine = Bench()
        self.engine.run(say.opened(credit_limit=credit_limit))
        self.bus, self.line = Bus(), Line()
        self.clock = 1000.0
        self.registry = CollectorRegistry()
        rules = Rules(deadline_s, max_future_ms=300_000)
        self.gateway = Gateway(
            lambda pan: ("acct-1", "card-acct-1") if pan == PAN else None,
            self.bus,
            rules,
            GatewayMetrics(self.registry),
            lambda: self.clock,
            lambda: say.T0 + 1000 * int(self.clock - 1000.0),
        )

    def say(
        self, message: AuthorizationMessage, message_type: str | None = None, line: Line | None = None,
        waited_s: float = 0.0,
    ) -> None:  # fmt: skip
        """A frame arrives on a line, `waited_s` seconds ago."""
        self.frame(encode_request(message, Origin(PAN, "12345", "000001"), message_type), line, waited_s)

    def frame(self, raw: bytes, line: Line | None = None, waited_s: float = 0.0) -> Malformed | None:
        return self.gateway.receive(raw, self.clock - waited_s, line or self.line)

    def engine_works(self, most: int = 1_000_000) -> None:
        """The engine decides what has been sent, as one slice, and the gateway hears of it."""
        arrived = [parcel for parcel in self.bus.sent if parcel.handed_over][:most]
        self.bus.sent = [parcel for parcel in self.bus.sent if parcel not in arrived]
        before = len(self.engine.sent)
        if arrived:
            self.engine.run(*(self._record(parcel.message) for parcel in arrived))
        for topic, body in self.engine.sent[before:]:
            if topic == "authorization-decisions":
                self.gateway.hear(codec.encode(body))  # type: ignore[arg-type]

    def pass_time(self, seconds: float) -> None:
        self.clock += seconds
        self.gateway.expire()

    def holds(self) -> dict[str, int]:
        """Amount held by reference."""
        account: Any = self.engine.account()
        return {reference: hold.amount for reference, hold in account.holds.items()}

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"otb_gateway_{name}", labels) or 0.0

    def _record(self, message: AuthorizationMessage) -> tuple[str, bytes, bytes]:
        return "authorizations", message.account_id.encode(), codec.encode(message)
