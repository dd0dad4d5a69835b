"""aiokafka's client as far as topics.transport.inheritance uses it: requests to the broker in memory, and answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aiokafka.errors import ClusterAuthorizationFailedError
from aiokafka.protocol.group import HeartbeatRequest

from tests.simulation.broker import Broker
from tests.simulation.turns import turn
from topics.transport.fencing import Membership
from topics.transport.inheritance import CONCURRENT_TRANSACTIONS
from topics.transport.protocol import DescribeTransaction, FenceProducer, ListTransactions

REBALANCE_IN_PROGRESS = 27
PRODUCER_FENCED = 90
NODE = 0


class RunsOn:
    """A background task of aiokafka: it does not end here."""

    def done(self) -> bool:
        return False


class Requests:
    """The one broker coordinates everything."""

    _sync_task = RunsOn()

    def __init__(self, broker: Broker) -> None:
        self.cluster = SimpleNamespace(brokers=lambda: [SimpleNamespace(nodeId=NODE)])
        self._broker = broker

    async def coordinator_lookup(self, *_kind_and_name: Any) -> int:
        return NODE

    async def send(self, _node: int, request: Any) -> Any:
        await turn(type(request).__name__)
        answer = self._answer(request)
        await turn(f"{type(request).__name__}'s answer")
        return answer

    async def heartbeat(self, request: HeartbeatRequest, instance: str | None) -> Any:
        await turn("Heartbeat")
        refused = self._broker.group.must_rejoin(Membership(request._generation_id, request._member_id, instance))
        await turn("Heartbeat's answer")
        return SimpleNamespace(error_code=REBALANCE_IN_PROGRESS if refused else 0)

    def _answer(self, request: Any) -> Any:
        if isinstance(request, ListTransactions):
            if not self._broker.lists_transactions:
                raise ClusterAuthorizationFailedError
            names = [transaction.producer for transaction in self._broker.open_transactions()]
            return SimpleNamespace(error_code=0, transaction_states=[(name, 0, "Ongoing", {}) for name in names])
        if isinstance(request, DescribeTransaction):
            name = request._transactional_id
            return SimpleNamespace(transaction_states=[(0, self._broker.epoch(name), self._topics(name), {})])
        assert isinstance(request, FenceProducer), f"{request} is not modelled"
        name = request.transactional_id
        if self._broker.epoch(name) != request.epoch and self._broker.free(name):
            return SimpleNamespace(error_code=PRODUCER_FENCED)
        if self._broker.free(name):
            self._broker.init_producer(name)
            return SimpleNamespace(error_code=0)
        if any(transaction.producer == name for transaction in self._broker.open_transactions()):
            self._broker.init_producer(name)
        return SimpleNamespace(error_code=CONCURRENT_TRANSACTIONS)

    def _topics(self, name: str) -> list[Any]:
        """What one producer has open."""
        mine = (transaction for transaction in self._broker.open_transactions() if transaction.producer == name)
        return [(tp.topic, [tp.partition], {}) for transaction in mine for tp in sorted(transaction.partitions)]
