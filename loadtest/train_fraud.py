"""Train the fraud model and write what is shipped: the ONNX file, its parity vectors and the model card.

python -m loadtest.train_fraud --seed 7 --accounts 8000 --days 60
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress

_ROOT: Final = Path(__file__).parents[1]
_ARTEFACTS: Final = _ROOT / "models" / "scoring" / "artefacts"
_CARD: Final = _ROOT / "docs" / "fraud-model.md"


def train(
    seed: Annotated[int, typer.Option(min=0, help="of traffic and training; decides every byte")] = 7,
    accounts: Annotated[int, typer.Option(min=100, help="simulated cardholders")] = 8000,
    days: Annotated[int, typer.Option(min=10, max=720, help="simulated days")] = 60,
    out: Annotated[Path, typer.Option(file_okay=False, help="directory of the model")] = _ARTEFACTS,
    card: Annotated[Path, typer.Option(dir_okay=False, help="file of the model card")] = _CARD,
) -> None:
    """Replay simulated traffic, train, anchor, export, check parity, write."""
    if missing := [name for name in ("sklearn", "skl2onnx", "onnx") if find_spec(name) is None]:
        _fail(f"training needs {', '.join(missing)}: install opentobuy with its extra `train`")
    from loadtest.fraud_model import release  # noqa: PLC0415 (its libraries come with the extra)

    command = f"python -m loadtest.train_fraud --seed {seed} --accounts {accounts} --days {days}"
    try:
        with Progress(console=Console(stderr=True)) as bars:

            def track(name: str) -> release.Track:
                bar = bars.add_task(name, total=1.0)
                return lambda share: bars.update(bar, completed=share)

            made = release.make(seed, accounts, days, track)
        release.write(made, out, card, command)
    except (ValueError, OSError) as error:
        _fail(str(error))
    print(f"{made.version}: {release.summary(made)}")


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(train)
