"""Independent streams of chance: one for each purpose and block of accounts, so that nothing depends on who draws."""

from __future__ import annotations

from random import Random
from zlib import crc32

import numpy as np


def draws(seed: int, purpose: str, block: int = 0) -> np.random.Generator:
    """For many at once."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed % 2**64, crc32(purpose.encode()), block])))


def dice(seed: int, purpose: str, block: int = 0) -> Random:
    """For one at a time."""
    return Random(f"{purpose}/{seed}/{block}")  # noqa: S311 (a simulation, to be repeated)
