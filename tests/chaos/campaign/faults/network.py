"""The connections between a worker and the broker are cut. For these the worker comes through `link`."""

from __future__ import annotations

import time
from random import Random
from typing import Final

from tests.chaos.campaign.faults.kinds import Damage, Fault, Proof, outage
from tests.chaos.campaign.world import World

ANSWER_S: Final = 30.0


def _behind_the_link(world: World, random: Random) -> None:
    world.stop_worker()
    world.start_worker(through_link=True).wait_ready()
    world.wait(1 + random.random())


class NetworkCut:
    name = "network-cut"
    what = "the worker's connections to the broker are reset and refused for 1 to 9 s"
    proof: Proof = "decisions"
    lasts_s = 22.0

    def strike(self, world: World, random: Random) -> Damage:
        _behind_the_link(world, random)
        return outage(world, random.uniform(1.0, 9.0), world.link.cut, world.link.mend)


class NetworkStalled:
    name = "network-stalled"
    what = "nothing the worker sends arrives for 1 to 12 s, then everything does; no connection is closed"
    proof: Proof = "decisions"
    lasts_s = 24.0

    def strike(self, world: World, random: Random) -> Damage:
        _behind_the_link(world, random)
        return outage(world, random.uniform(1.0, 12.0), world.link.stall, world.link.flow)


class CommitAnswerLost:
    name = "commit-answer-lost"
    what = "a commit reaches the broker, its answer does not come back: the connection is reset instead"
    proof: Proof = "decisions"
    lasts_s = 16.0

    def strike(self, world: World, random: Random) -> Damage:
        _behind_the_link(world, random)
        before, at = world.link.answers_lost, time.time()
        world.link.lose_an_answer()
        deadline = time.monotonic() + ANSWER_S
        while world.link.answers_lost == before:
            if time.monotonic() > deadline:
                raise AssertionError("no commit came through the link")
            time.sleep(0.005)
        return Damage(at, time.time())


FAULTS: Final[list[Fault]] = [NetworkCut(), NetworkStalled(), CommitAnswerLost()]
