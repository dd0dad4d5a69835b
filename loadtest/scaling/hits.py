"""Which accounts ask."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Hits = Literal["uniform", "zipf"]


def hit(size: int, count: int, hits: Hits, seed: int) -> NDArray[np.int64]:
    """Which accounts of `size` make `count` requests: each as likely as any other and no two related, or by Zipf's law
    (the second half as often as the first, the third a third as often), wherever they lie in the store."""
    rng = np.random.default_rng(seed)
    if hits == "uniform":
        return rng.integers(0, size, count)
    up_to = np.cumsum(1 / np.arange(1, size + 1))
    ranks = np.searchsorted(up_to, rng.random(count) * up_to[-1])
    places: NDArray[np.int64] = rng.permutation(size)[ranks]
    return places
