"""Whatever happens, in any order: what must always hold of the gateway.

1. Every frame is answered exactly once.
2. Once the engine has decided everything and every deadline has passed, an authorisation has a hold if and only if the
   last answer to it was an approval that could be delivered.
3. The hold is what was approved: the request and every increment whose last answer was such an approval.
4. Nothing waits any more.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from models.messages import AuthorizationIncrement, AuthorizationRequest
from tests.support import messages as say
from tests.support.gateway import GatewayBench, Line

REQUESTS = [say.request(f"ref-{number}", 1000 + number) for number in range(3)]
INCREMENTS = [say.increment(f"ref-{number}", 10 + number, f"inc-{number}") for number in range(2)]
Asked = AuthorizationRequest | AuthorizationIncrement

lines = st.integers(0, 1)
waits = st.sampled_from([0, 0, 0, 0.5, 2])
"""Seconds for which a frame stood in line before its turn came."""


class Log:
    """How often each reference was asked for, and the last answer to it, over all lines."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answered: list[str] = []
        self.approved: dict[str, bool] = {}


class Watched(Line):
    """A line that keeps the log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def answer(self, response: bytes | None) -> bool:
        delivered = super().answer(response)
        elements = self.answers[-1]
        assert elements is not None
        self._log.answered.append(elements[63])
        self._log.approved[elements[63]] = delivered and elements[39] == "00"
        return delivered


class GatewayLife(RuleBasedStateMachine):
    """Few references, so that repeats meet what they repeat."""

    @initialize()
    def start(self) -> None:
        self.bench = GatewayBench(credit_limit=10**9)
        self.log = Log()
        self.lines = [Watched(self.log), Watched(self.log)]

    @rule(message=st.sampled_from(REQUESTS), line=lines, waited_s=waits)
    def request(self, message: AuthorizationRequest, line: int, waited_s: float) -> None:
        self._say(message, line, waited_s)

    @rule(message=st.sampled_from(INCREMENTS), line=lines)
    def increment(self, message: AuthorizationIncrement, line: int) -> None:
        repeated = message.network_reference in self.log.asked
        if message.original_reference not in self.log.asked or (repeated and self.bench.bus.away):
            return  # what a repeat that never left repeats may have been approved, or not: a known limit
        self._say(message, line, 0)

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.5, 2.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.pass_time(seconds)

    @rule(most=st.sampled_from([1, 2, 3, 100]))
    def engine_works(self, most: int) -> None:
        self.bench.engine_works(most)

    @rule(away=st.booleans())
    def kafka_goes_or_comes(self, away: bool) -> None:
        if away:
            self.bench.bus.away = True
        else:
            self._come_back()

    @rule(line=lines)
    def a_line_breaks_and_another_opens(self, line: int) -> None:
        self.lines[line].gone = True
        self.lines[line] = Watched(self.log)

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        self._come_back()
        self.bench.pass_time(10)
        while self.bench.bus.sent:
            self.bench.engine_works()
        assert sorted(self.log.answered) == sorted(self.log.asked)
        assert self.bench.metric("in_flight") == 0
        assert self.bench.gateway.next_deadline() is None
        assert self.bench.holds() == self._expected()

    def _expected(self) -> dict[str, int]:
        held = {each.network_reference: each.amount for each in REQUESTS if self._approved(each)}
        for each in INCREMENTS:
            if self._approved(each) and each.original_reference in held:  # else taken back with it
                held[each.original_reference] += each.amount
        return held

    def _approved(self, message: Asked) -> bool:
        return self.log.approved.get(message.network_reference, False)

    def _say(self, message: Asked, line: int, waited_s: float) -> None:
        repeated = message.network_reference in self.log.asked
        self.log.asked.append(message.network_reference)
        self.bench.say(message, "0101" if repeated else "0100", self.lines[line], waited_s)

    def _come_back(self) -> None:
        bus = self.bench.bus
        bus.sent = [parcel for parcel in bus.sent if not parcel.withdrawn]
        bus.come_back()


TestGatewayLife = GatewayLife.TestCase
TestGatewayLife.settings = settings(max_examples=300, stateful_step_count=30)
