"""The job in Quix Streams: `python worker.py BOOTSTRAP APP_ID REQUESTS DECISIONS PARTITIONS FOLDER [COMMIT_SECONDS]`.

Runs in an environment of its own (requirements.txt), so it imports nothing of ours; the rules are those of
loadtest/peers/job.py. Without COMMIT_SECONDS, Quix Streams' own commit interval holds.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Protocol

LIMIT = 1_000_000
KEPT = 16


class State(Protocol):
    """Quix Streams' state of one key, as far as the job uses it."""

    def get(self, key: str) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


def decide(request: dict[str, Any], state: State) -> dict[str, Any]:
    """The decision on a request; the row of its account is `state`'s."""
    row = state.get("row") or {"limit": LIMIT, "held": 0, "answers": {}}
    request_id = request["request_id"]
    given = row["answers"].get(request_id)
    if given is None:
        given = _answer(row, request_id, request["amount"])
        state.set("row", row)
    return {"request_id": request_id, "account_id": request["account_id"], **given}


def _answer(row: dict[str, Any], request_id: str, amount: int) -> dict[str, Any]:
    approved = amount <= row["limit"] - row["held"]
    if approved:
        row["held"] += amount
    given = row["answers"][request_id] = {"approved": approved, "open_to_buy": row["limit"] - row["held"]}
    if len(row["answers"]) > KEPT:
        del row["answers"][next(iter(row["answers"]))]
    return given


def _end_with_parent() -> None:
    """Standard input is a pipe from the run: it closes when the run ends, however that happens."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(0)


def main() -> None:
    """Run until ended."""
    from quixstreams import Application  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    threading.Thread(target=_end_with_parent, daemon=True).start()
    bootstrap, app_id, requests, decisions, _partitions, folder, *commit = sys.argv[1:]
    app = Application(
        broker_address=bootstrap,
        consumer_group=app_id,
        auto_offset_reset="earliest",
        state_dir=folder,
        processing_guarantee="exactly-once",
        loglevel="WARNING",
        **({"commit_interval": float(commit[0])} if commit else {}),
    )
    stream = app.dataframe(app.topic(requests, key_deserializer="str", value_deserializer="json"))
    stream = stream.apply(decide, stateful=True)
    stream.to_topic(app.topic(decisions, key_serializer="str", value_serializer="json"))
    app.run()


if __name__ == "__main__":
    main()
