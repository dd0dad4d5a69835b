"""Workers are killed, frozen, scaled out and in, and restarted."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from tests.chaos.campaign.faults.kinds import Damage, Fault, Proof, held
from tests.chaos.campaign.world import FIRST_WORKER, SESSION_TIMEOUT_S, World
from tests.support.workers import WorkerProcess

STEPS: Final = ("begin", "decide", "write", "commit", "apply", "done")
"""The numbered steps of a commit at which a worker can hurt itself (agents/decider.py)."""
FIRST_COMMITS: Final = 30
"""One of these is hurt. Behind a backlog each takes seconds, and nobody waits for a minute and a half."""
SECOND, THIRD = "worker-1", "worker-2"


class Killed:
    name = "worker-killed"
    what = "SIGKILL of the worker at a random moment; it is started again"
    proof: Proof = "decisions"
    lasts_s = 8.0

    def strike(self, world: World, random: Random) -> Damage:
        world.wait(random.random())
        at = time.time()
        since = world.kill(world.workers[FIRST_WORKER])
        world.start_worker()
        return Damage(at, since)


@dataclass(frozen=True)
class KilledAtStep:
    """SIGKILL at a numbered step of one of the first commits after a start."""

    step: str
    proof: Proof = "decisions"
    lasts_s: float = 12.0

    @property
    def name(self) -> str:
        return f"killed-at-{self.step}"

    @property
    def what(self) -> str:
        return f"the worker kills itself at step “{self.step}” of a commit; it is started again"

    def strike(self, world: World, random: Random) -> Damage:
        world.stop_worker()
        count = random.randrange(1, FIRST_COMMITS)
        doomed = world.start_worker(fault=f"KILL:{self.step}:{count}")
        if doomed.wait_ended() != -signal.SIGKILL:
            raise AssertionError(f"the worker did not kill itself:\n{doomed.output()}")
        at = time.time()
        world.start_worker()
        return Damage(at, at, note=f"commit {count}")


class Frozen:
    name = "worker-frozen"
    what = "SIGSTOP of one of two workers for longer than its session, then SIGCONT; the other takes over"
    proof: Proof = "decisions"
    lasts_s = 28.0

    def strike(self, world: World, random: Random) -> Damage:
        world.start_worker(SECOND).wait_ready()
        world.wait(1 + random.random())
        name = random.choice([FIRST_WORKER, SECOND])
        victim = world.workers[name]
        at = time.time()
        victim.signal(signal.SIGSTOP)
        victim.wait_stopped()
        return _woken(world, victim, Damage(at, time.time(), note=name), random)


class FrozenInCommit:
    name = "frozen-in-commit"
    what = "as worker-frozen, but the worker stops itself inside a transaction, at one of its steps"
    proof: Proof = "decisions"
    lasts_s = 34.0

    def strike(self, world: World, random: Random) -> Damage:
        world.start_worker(SECOND).wait_ready()
        world.stop_worker()
        step = random.choice(["decide", "write", "commit", "apply"])
        count = random.randrange(1, FIRST_COMMITS)
        victim = world.start_worker(fault=f"STOP:{step}:{count}")
        victim.wait_stopped()
        at = time.time()
        return _woken(world, victim, Damage(at, at, note=f"step {step}, commit {count}"), random)


def _woken(world: World, victim: WorkerProcess, damage: Damage, random: Random) -> Damage:
    """Wait until the frozen worker's session is over, wake it, and let it find out."""
    held_s = held(world, SESSION_TIMEOUT_S + 3 + 4 * random.random())
    victim.signal(signal.SIGCONT)
    world.wait(2)
    return replace(damage, held_s=held_s)


class Scaled:
    name = "scaled-1-3-1"
    what = "two more workers join at once, and leave again one after the other (SIGTERM)"
    proof: Proof = "decisions"
    lasts_s = 26.0

    def strike(self, world: World, random: Random) -> Damage:
        joining = [world.start_worker(name) for name in (SECOND, THIRD)]
        for worker in joining:
            worker.wait_ready()
        world.wait(2 + random.random())
        at = time.time()
        world.stop_worker(THIRD)
        return Damage(at, world.stop_worker(SECOND))


class RollingRestart:
    name = "rolling-restart"
    what = "of two workers first one, then the other is stopped by SIGTERM and started again"
    proof: Proof = "decisions"
    lasts_s = 30.0

    def strike(self, world: World, random: Random) -> Damage:
        world.start_worker(SECOND).wait_ready()
        at = time.time()
        for name in random.sample([FIRST_WORKER, SECOND], 2):
            since = world.stop_worker(name)
            world.start_worker(name).wait_ready()
        return Damage(at, since)


FAULTS: Final[list[Fault]] = [
    Killed(), *map(KilledAtStep, STEPS), Frozen(), FrozenInCommit(), Scaled(), RollingRestart(),
]  # fmt: skip
