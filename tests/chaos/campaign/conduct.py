"""Plays a schedule against a world under load, measures every recovery, and has everything checked at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from math import ceil, inf
from multiprocessing import get_context
from random import Random
from subprocess import TimeoutExpired
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from deploy.embedded.errors import StartError
from tests.chaos.campaign import checker, ledger, story
from tests.chaos.campaign.faults import Damage, Fault
from tests.chaos.campaign.history import APP_ID, INPUTS, Share
from tests.chaos.campaign.load import Load
from tests.chaos.campaign.reader import Place
from tests.chaos.campaign.refusals import Finding
from tests.chaos.campaign.result import RATE, Result, Trial
from tests.chaos.campaign.schedule import Appointment, schedule
from tests.chaos.campaign.watch import Watch
from tests.chaos.campaign.world import World
from tests.support.auditor import Disagreement
from tests.support.traffic import PARTITIONS, producer, wait_for

RATE_OF_SEVERAL: Final = 500
"""Records a second; fewer where several brokers, each with its replicas, share the machine."""
PATIENCE_S: Final = 90.0
"""A fault from which nothing has recovered for this long is given up on; far more than any recovery takes."""
MOST_ENDS: Final = 4
"""A process that ended by itself as often as this after a fault does not come back by itself."""
OVERRUN: Final = 1.2
"""Faults that are still to come when the load has lasted as many times its length are left out."""
SPARE_S: Final = 2 * PATIENCE_S
"""The last fault may take as long; there must be something to send meanwhile."""
LONG_S: Final = 4.0
"""What decisions do not depend on may be away for as long without anyone having to decide something meanwhile."""
LEAST_MEANWHILE: Final = 0.5
"""Decisions that must have been made by the end of a longer time, of those that were asked for in it."""
DAMAGE_FOUND: Final = "the store of partition"
"""A worker that ends with it has come by what an earlier fault damaged; decisions wait for its restore then."""
POLL_S: Final = 0.05
MOST_AT_ONCE: Final = 400_000
"""Messages of a partition that are checked at once, with replies and entries: 7 kB each."""

Say = Callable[[str, float], None]
"""(a line about what is happening, share of the campaign that is done)"""


class BeyondHelp(Exception):
    """Not even a new start with an empty store makes the workers decide again."""


class Campaign:
    """`length_s` of schedule; starting the servers of `world`, which is new, and checking come on top. `rate`: records
    a second, as many as the world's brokers allow on a small machine if not given."""

    def __init__(
        self, seed: int, length_s: float, faults: Mapping[str, Fault], world: World, say: Say, *,
        rate: int | None = None,
    ) -> None:  # fmt: skip
        self._faults = faults
        rate = rate or (RATE if world.size == 1 else RATE_OF_SEVERAL)
        plan = schedule(seed, length_s, {name: fault.lasts_s for name, fault in faults.items()})
        self.result = Result(seed, length_s, plan, world.size, rate)
        self._world = world
        self._say_ = say

    def run(self) -> Result:
        """Everything, once. Raises only what is wrong with the campaign itself (servers that do not start, ...)."""
        chapters = ceil((self.result.length_s * OVERRUN + SPARE_S) * self.result.rate / story.CHAPTER)
        self._say("starting servers, worker and sink", 0)
        with self._world:
            self._open_accounts(chapters)
            load = Load(self._world.kafka, story.told(self.result.seed, chapters), self.result.rate, self._world.clock)
            try:
                with _watching(self._world.kafka) as watch:
                    self._play(load, watch)
                self._say("waiting until everything is decided", 0.85)
                self._drain()
            except BeyondHelp as end:  # what was seen until then is told; what was decided cannot be checked
                self.result.lost.append(str(end))
            else:
                self._check(load)
        return self.result

    # -- under load

    def _open_accounts(self, chapters: int) -> None:
        opened, sender = 0, producer(self._world.kafka)
        for opening in story.accounts(chapters):
            record = story.record(opening)
            sender.produce(record.topic, record.value, record.key, record.partition)
            opened += 1
            if opened % 1000 == 0:
                sender.flush(60)
        sender.flush(60)
        wait_for(self._world.kafka, "account-updates", opened)

    def _play(self, load: Load, watch: Watch) -> None:
        begun = time.monotonic()
        load.start()
        try:
            for number, appointment in enumerate(self.result.schedule):
                elapsed = time.monotonic() - begun
                if elapsed > self.result.length_s * OVERRUN:
                    self.result.left_out = self.result.schedule[number:]
                    break
                self._world.wait(appointment.at_s - elapsed)
                self._say(appointment.fault, 0.8 * number / len(self.result.schedule))
                self._try(appointment, load, watch, time.monotonic() - begun)
            self._world.wait(self.result.length_s - (time.monotonic() - begun))
        finally:
            self.result.load_s = time.monotonic() - begun
            load.finish()

    def _try(self, appointment: Appointment, load: Load, watch: Watch, started: float) -> None:
        fault, world = self._faults[appointment.fault], self._world
        trial = Trial(appointment.fault, appointment.seed, started, time.time())
        self.result.trials.append(trial)
        watch.forget()
        load.forget()
        world.ends.clear()
        try:
            damage = fault.strike(world, Random(appointment.seed))
            trial.held_s, trial.note = damage.held_s, damage.note
            trial.ends, world.ends = world.ends, []
            restoring = any(DAMAGE_FOUND in end for end in trial.ends)
            if fault.proof != "decisions" and damage.since - damage.at > LONG_S and not restoring:
                trial.meanwhile = self._decided_meanwhile(damage, load, watch)
            over = self._over(fault, damage, watch)
            trial.recovery_s = over - damage.at
            world.one_worker()
            self._until(lambda: watch.decided_again(over + 0.001))
        except (AssertionError, TimeoutExpired, StartError) as trouble:
            trial.trouble = str(trouble)[:600]
            self._help()
        trial.ends += world.ends

    def _over(self, fault: Fault, damage: Damage, watch: Watch) -> float:
        """When it was over; raises AssertionError when it does not end."""
        if fault.proof in {"decisions", "undisturbed"}:
            return self._until(lambda: watch.decided_again(damage.since))
        if fault.proof == "reading":
            return self._until(lambda: self._world.reader.read_again(damage.since))
        before = self._until(lambda: _number(ledger.posted(self._world.dsn)))
        return self._until(lambda: _now_if((ledger.posted(self._world.dsn) or 0) > before))

    def _decided_meanwhile(self, damage: Damage, load: Load, watch: Watch) -> float:
        """Raises AssertionError when decisions did not go on at their rate, in every partition."""
        lasted = damage.since - damage.at
        if (watch.decided_again(damage.at) or inf) > damage.since:
            raise AssertionError(f"decisions waited for what they do not need, for {lasted:.1f} s")
        decided, asked = watch.decided(damage.at, damage.since), load.asked(damage.at, damage.since)
        if decided < LEAST_MEANWHILE * asked:
            raise AssertionError(f"{decided} decisions of {asked} asked for within {lasted:.1f} s")
        return min(decided / asked, 1.0) if asked else 1.0  # requests from the future are declined, but not counted

    def _until(self, known: Callable[[], float | None]) -> float:
        """What `known` gives once it gives something; the world is supervised meanwhile."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := known()) is None:
            self._world.supervise()
            if len(self._world.ends) >= MOST_ENDS:
                raise AssertionError(f"does not come back by itself: {self._world.ends[-1]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not recovered after {PATIENCE_S:.0f} s; {self._world.state()}")
            time.sleep(POLL_S)
        return found

    def _help(self) -> None:
        """What an operator would do in the end: kill the workers, delete the local store, start anew. Raises
        BeyondHelp."""
        try:
            self._world.rebuild()
        except (AssertionError, TimeoutExpired, StartError) as trouble:
            raise BeyondHelp(f"started anew, and still not there: {trouble}") from trouble
        self._world.ends.clear()

    # -- afterwards

    def _drain(self) -> None:
        """Until the workers' group has committed the end of every input, with help if it must be; then they stop. What
        is left even so is found by the checker."""
        reader = Consumer({"bootstrap.servers": self._world.kafka, "group.id": APP_ID, "enable.auto.commit": False})
        self._world.ends.clear()
        try:
            self._until(lambda: _now_if(_lag(reader) == 0))
        except AssertionError as trouble:
            late = f"when everything should have been decided, {_lag(reader)} records waited: {trouble}"
            last = self.result.trials[-1]
            last.trouble = f"{last.trouble}; {late}" if last.trouble else late
            self._help()
            self._until(lambda: _now_if(_lag(reader) == 0))
        finally:
            reader.close()
        for name in list(self._world.workers):
            self._world.stop_worker(name)

    def _check(self, load: Load) -> None:
        figures: dict[str, tuple[int, int, int]] = {}
        result = self.result
        todo = [(partition, share) for partition in range(PARTITIONS) for share in shares(load.delivered)]
        self._say(f"checking every partition, in {len(todo)} parts", 0.88)
        reader_until = time.monotonic() + PATIENCE_S  # for all that it has yet to read
        for number, checked in enumerate(_checked(self._world.kafka, todo), 1):
            self._say(f"checked {number} of {len(todo)} parts", 0.88 + 0.1 * number / len(todo))
            result.messages += checked.messages
            result.poison += checked.poison
            result.from_the_future += checked.from_the_future
            result.entries += checked.entries
            figures |= checked.figures
            for finding in checked.findings:
                self._blame(finding)
            self._check_reader(checked, reader_until)
        result.read = self._world.reader.read()
        if result.poison != load.poison_delivered:
            result.lost.append(f"{load.poison_delivered} poison records were sent, {result.poison} are in the topics")
        self._say("comparing the ledger", 0.98)
        try:
            ledger.check(self._world.dsn, figures, result.entries, self._world.supervise)
        except Disagreement as disagreement:
            result.lost.append(f"ledger: {disagreement}")

    def _check_reader(self, checked: checker.Checked, until: float) -> None:
        """However slow it was, it has read everything once and in order, and nothing else."""
        for topic, expected in checked.replies.items():
            found = self._read(topic, checked.partition, expected[0], until)
            if found != expected:
                self.result.lost.append(
                    f"{topic} {checked.partition}: the reader has {found}, what is there is {expected} (records, "
                    f"digest); its error: {self._world.reader.error!r}"
                )

    def _read(self, topic: str, partition: int, wanted: int, until: float) -> tuple[int, str]:
        """What the reader has of one partition, once it has as many records as are wanted, or at the time `until`."""
        reader = self._world.reader
        while (place := reader.places.get((topic, partition), Place())).read < wanted:
            if reader.error is not None or time.monotonic() > until:
                break
            time.sleep(POLL_S)
        return place.digest

    def _blame(self, finding: Finding) -> None:
        """Note it, with the trial during which the input behind it came in."""
        self.result.lost.append(finding.what)
        if finding.at is not None:
            before = [n for n, trial in enumerate(self.result.trials) if trial.began * 1000 <= finding.at]
            self.result.lost_after += before[-1:]

    def _say(self, line: str, done: float) -> None:
        self._say_(line, done)


@contextmanager
def _watching(bootstrap: str) -> Iterator[Watch]:
    watch = Watch(bootstrap)
    watch.start()
    try:
        yield watch
    finally:
        watch.close()


def shares(messages: int) -> list[Share]:
    """Of each partition of a run with so many messages."""
    parts = 1 + messages // (PARTITIONS * MOST_AT_ONCE)
    return [Share(part, parts) for part in range(parts)]


def _checked(bootstrap: str, todo: Sequence[tuple[int, Share]]) -> Iterator[checker.Checked]:
    """Every share of every partition, side by side: nothing else runs by then."""
    with ProcessPoolExecutor(min(PARTITIONS, os.cpu_count() or 1), get_context("spawn")) as pool:
        yield from pool.map(checker.checked, [bootstrap] * len(todo), *zip(*todo, strict=True))


def _number(found: int | None) -> float | None:
    return None if found is None else float(found)


def _now_if(true: bool) -> float | None:
    return time.time() if true else None


def _lag(reader: Consumer) -> int:
    """Records on the input topics behind the offsets that the group has committed."""
    wanted = [TopicPartition(topic, p) for topic in INPUTS for p in range(PARTITIONS)]
    lag = 0
    for tp in reader.committed(wanted, 10):
        low, end = reader.get_watermark_offsets(TopicPartition(tp.topic, tp.partition), 10)
        lag += end - max(tp.offset, low)
    return lag
