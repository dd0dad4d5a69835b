"""`python -m tests.simulation --seed N --histories M [--trace]`: ends with 1 at the first that goes wrong.

--trace prints the schedule of the first.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter

from tests.simulation.playing import Found, play, schedule_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, default=0, help="the first history")
    parser.add_argument("--histories", type=int, default=1, help="how many")
    parser.add_argument("--trace", action="store_true", help="print the schedule of the first")
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)  # workers tell of every transaction that they end for a dead one
    if chosen.trace:
        print("\n".join(schedule_of(chosen.seed)))
        return 0
    try:
        play_many(range(chosen.seed, chosen.seed + chosen.histories))
    except Found as found:
        print(found, file=sys.stderr)
        return 1
    return 0


def play_many(seeds: range) -> None:
    """Says how fast it was and what happened; raises Found."""
    happened, done = Counter[str](), Counter[str]()
    started, worked = time.perf_counter(), time.process_time()
    for seed in seeds:
        history = play(seed)
        happened.update(history.happened)
        done.update(history.done())
    rate = len(seeds) / (time.perf_counter() - started) * 60
    own_rate = len(seeds) / (time.process_time() - worked) * 60
    faults = ", ".join(f"{count} {name}" for name, count in happened.most_common())
    print(f"{len(seeds)} histories, {rate:.0f} a minute, {own_rate:.0f} a minute of processor time")
    print(", ".join(f"{count} {what}" for what, count in done.items()))
    print(faults)


if __name__ == "__main__":
    sys.exit(main())
