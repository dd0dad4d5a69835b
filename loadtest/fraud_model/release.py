"""From arguments to the shipped files: traffic, fit, export, parity gate, card."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.fraud_model import card, parity
from loadtest.fraud_model.export import build
from loadtest.fraud_model.fit import Fitted, Parts, fit, split
from loadtest.fraud_model.measure import Quality, importance, quality
from loadtest.fraud_model.replay import replay
from loadtest.traffic import Traffic
from models.scoring.features import FEATURES
from models.scoring.onnx import FraudModel

VERSION: Final = "fraud-1.1"

Track = Callable[[float], None]
"""Gets the share of a task that is done, 0 to 1."""


@dataclass(frozen=True)
class Release:
    """A trained, exported and checked model, not yet written."""

    version: str
    parts: Parts
    fitted: Fitted
    blob: bytes
    vectors: parity.Vectors
    deviation_ppm: int
    test: Quality
    fresh: Quality
    fresh_seed: int


def make(seed: int, accounts: int, days: int, track: Callable[[str], Track]) -> Release:
    """Train and check; ValueError when there is too little fraud, parity.Deviation when the export is wrong."""
    parts = split(replay(Traffic(seed, accounts, "train"), days, track("replaying traffic")))
    fresh = replay(Traffic(seed + 1, max(accounts // 4, 1), "fresh"), days // 2, track("replaying fresh traffic"))
    fitted = fit(parts, seed, track("training"))
    blob = export(fitted)
    vectors = parity.vectors(fitted, parts.test, seed)
    return Release(
        version=VERSION,
        parts=parts,
        fitted=fitted,
        blob=blob,
        vectors=vectors,
        deviation_ppm=parity.check(_load(blob), vectors),
        test=quality(fitted.exported, parts.test),
        fresh=quality(fitted.exported, fresh),
        fresh_seed=seed + 1,
    )


def export(fitted: Fitted, version: str = VERSION) -> bytes:
    """The ONNX file."""
    metadata = {"version": version, "features": ",".join(FEATURES)}
    blob: bytes = build(fitted.exported, metadata).SerializeToString(deterministic=True)
    return blob


def write(release: Release, out: Path, card_file: Path, command: str) -> None:
    """Write model, vectors and card; OSError names the file that could not be written."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{release.version}.onnx").write_bytes(release.blob)
    parity.write(out / f"{release.version}.parity.npz", release.vectors)
    exported = release.fitted.exported
    facts = card.Facts(
        version=release.version,
        command=command,
        parts=release.parts,
        test=release.test,
        fresh=release.fresh,
        fresh_seed=release.fresh_seed,
        importance=importance(exported, release.parts.test),
        trees=len(exported.trees),
        size=len(release.blob),
        deviation_ppm=release.deviation_ppm,
    )
    card_file.parent.mkdir(parents=True, exist_ok=True)
    card_file.write_text(card.render(facts), encoding="utf-8")


def summary(release: Release) -> str:
    """One line for the terminal."""
    test = release.test
    return (
        f"AUC {test.auc:.4f}, precision {test.precision:.3f}, recall {test.recall:.3f} on {test.rows:,} test requests, "
        f"{test.fraud:,} fraudulent; parity within {release.deviation_ppm} ppm"
    )


def _load(blob: bytes) -> FraudModel:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.onnx"
        path.write_bytes(blob)
        return FraudModel.load(path)
