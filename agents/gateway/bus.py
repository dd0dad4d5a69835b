"""The way to the engine and back: records to `authorizations`, replies from `authorization-decisions`.

Messages leave one after the other, so that those of one account arrive in the order in which they came. While Kafka is
away they wait here; a request whose deadline passes meanwhile is withdrawn, so what waits is bounded by what is in
flight. The producer is not idempotent: it sends one batch a partition at a time, a batch sent twice does no harm (the
engine knows a repeat), and there is no sequence that a lost batch could break for good.

Replies are read from where the topic ends at the start: only those to requests in flight matter.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from agents.gateway.errors import Unavailable
from agents.gateway.metrics import GatewayMetrics
from models.messages import AuthorizationMessage
from topics import codec
from topics.cluster import Cluster
from topics.declarations import AUTHORIZATION_DECISIONS, AUTHORIZATIONS
from topics.keys import partition_for
from topics.transport.fetching import make_patient

log = logging.getLogger(__name__)

Hear = Callable[[bytes | None], None]
"""Takes the value of one record of `authorization-decisions`."""

_POLL_MS: Final = 200
_PAUSE_S: Final = 0.2
_REQUEST_TIMEOUT_MS: Final = 10_000
_MAX_RECORDS: Final = 2000


class _Parcel:
    """One message that waits, or has been handed to the producer."""

    __slots__ = ("handed_over", "message", "must_arrive", "withdrawn")

    def __init__(self, message: AuthorizationMessage, must_arrive: bool) -> None:
        self.message = message
        self.must_arrive = must_arrive
        self.handed_over = False
        self.withdrawn = False

    def withdraw(self) -> bool:
        """True when it has not left and never will."""
        self.withdrawn = not self.handed_over
        return self.withdrawn


class KafkaBus:
    """Use: `start`, then `ship` and `listen` as tasks, `flush`, `stop`."""

    def __init__(self, cluster: Cluster, metrics: GatewayMetrics, fetch_wait_ms: int) -> None:
        """`fetch_wait_ms`: wait of a fetch for replies; longer where none come."""
        self._cluster = cluster
        self._fetch_wait_ms = fetch_wait_ms
        self._outbox: deque[_Parcel] = deque()
        self._news = asyncio.Event()
        self._must_arrive: set[_Parcel] = set()
        self._all_arrived = asyncio.Event()
        self._all_arrived.set()
        self._producer: AIOKafkaProducer | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions = 0
        metrics.reversals_waiting.set_function(lambda: len(self._must_arrive))

    def send(self, message: AuthorizationMessage, *, must_arrive: bool = False) -> _Parcel:
        parcel = _Parcel(message, must_arrive)
        if must_arrive:
            self._must_arrive.add(parcel)
            self._all_arrived.clear()
        self._post(parcel)
        return parcel

    # -- start and stop

    async def start(self, patience_s: float) -> None:
        """Connect and find the end of the replies; raises Unavailable after `patience_s` seconds."""
        deadline = time.monotonic() + patience_s
        self._producer = AIOKafkaProducer(
            **self._cluster.aiokafka(), acks="all", request_timeout_ms=_REQUEST_TIMEOUT_MS
        )
        self._consumer = AIOKafkaConsumer(
            **self._cluster.aiokafka(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="latest",
            fetch_max_wait_ms=self._fetch_wait_ms,
        )
        for client in (self._producer, self._consumer):
            await self._connect(client, deadline, patience_s)
        make_patient(self._consumer)
        await self._wait_for_topics(self._consumer, deadline)
        self._partitions = len(await self._producer.partitions_for(AUTHORIZATIONS.name))
        replies = await self._producer.partitions_for(AUTHORIZATION_DECISIONS.name)
        assigned = [TopicPartition(AUTHORIZATION_DECISIONS.name, number) for number in replies]
        self._consumer.assign(assigned)
        for partition, end in (await self._consumer.end_offsets(assigned)).items():
            self._consumer.seek(partition, end)

    async def flush(self, grace_s: float) -> list[AuthorizationMessage]:
        """Wait until what must arrive has arrived; after `grace_s` seconds, what has not."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._all_arrived.wait(), grace_s)
        return [parcel.message for parcel in self._must_arrive]

    async def stop(self, grace_s: float) -> None:
        """Close both clients; what a broker that is away holds up is dropped after `grace_s` seconds."""
        for client in (self._producer, self._consumer):
            if client is not None:
                with suppress(TimeoutError, KafkaError):
                    await asyncio.wait_for(client.stop(), grace_s)

    # -- out

    async def ship(self) -> None:
        """Hand messages over for ever, in order."""
        while True:
            await self._news.wait()
            while self._outbox:
                parcel = self._outbox.popleft()
                if not parcel.withdrawn:
                    await self._hand_over(parcel)
            self._news.clear()

    def _post(self, parcel: _Parcel) -> None:
        self._outbox.append(parcel)
        self._news.set()

    async def _hand_over(self, parcel: _Parcel) -> None:
        """Waits while the producer has no room, which is while Kafka is away."""
        if self._producer is None:
            raise RuntimeError("the bus has not been started")
        parcel.handed_over = True
        key = parcel.message.account_id.encode()
        partition = partition_for(key, self._partitions)
        try:
            sent = await self._producer.send(AUTHORIZATIONS.name, codec.encode(parcel.message), key, partition)
        except KafkaError as error:
            self._failed(parcel, error)
            await asyncio.sleep(_PAUSE_S)
        else:
            sent.add_done_callback(partial(self._sent, parcel))

    def _sent(self, parcel: _Parcel, sent: asyncio.Future[Any]) -> None:
        if sent.cancelled():
            return
        error = sent.exception()
        if error is None:
            self._must_arrive.discard(parcel)
            if not self._must_arrive:
                self._all_arrived.set()
        else:
            self._failed(parcel, error)

    def _failed(self, parcel: _Parcel, error: BaseException) -> None:
        """A request that did not arrive, or may not have, ends by its deadline."""
        log.warning("Kafka did not take a %s: %r", parcel.message.type, error)
        if parcel.must_arrive:
            asyncio.get_running_loop().call_later(_PAUSE_S, self._post, parcel)

    # -- back

    async def listen(self, hear: Hear) -> None:
        """Tell every reply for ever. What Kafka fails at is tried again: requests end by their deadline meanwhile."""
        if self._consumer is None:
            raise RuntimeError("the bus has not been started")
        while True:
            try:
                batches = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
            except KafkaError as error:
                log.warning("reading %s: %r: trying again", AUTHORIZATION_DECISIONS.name, error)
                await asyncio.sleep(_PAUSE_S)
                continue
            for records in batches.values():
                for record in records:
                    hear(record.value)

    async def _connect(self, client: Any, deadline: float, patience_s: float) -> None:
        while True:
            try:
                await client.start()
            except (KafkaError, OSError) as error:
                if time.monotonic() > deadline:
                    detail = str(error) or type(error).__name__
                    message = f"Kafka at {self._cluster} did not answer within {patience_s:g} s: {detail}"
                    raise Unavailable(message) from error
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    async def _wait_for_topics(self, consumer: AIOKafkaConsumer, deadline: float) -> None:
        while missing := {AUTHORIZATIONS.name, AUTHORIZATION_DECISIONS.name} - await consumer.topics():
            if time.monotonic() > deadline:
                names = ", ".join(sorted(missing))
                raise Unavailable(f"Kafka at {self._cluster} has no topic {names}: `otb up` or `otb worker` makes them")
            await asyncio.sleep(_PAUSE_S)
