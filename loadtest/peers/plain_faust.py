"""The job in plain Faust, written as its documentation shows: `python -m loadtest.peers.plain_faust STAGE...`.

Records with the JSON serializer, a table, an agent that sends; every setting is Faust's own default. The table is in
memory, which is quicker than its RocksDB store.
"""

from __future__ import annotations

import sys
from typing import Any

import faust

from loadtest.peers.job import KEPT, LIMIT
from loadtest.peers.stage import Stage, end_with_parent


class Request(faust.Record, serializer="json"):  # type: ignore[misc,call-arg,unused-ignore]
    """As in loadtest/peers/job.py."""

    request_id: str
    account_id: str
    amount: int


class Decision(faust.Record, serializer="json"):  # type: ignore[misc,call-arg,unused-ignore]
    """As in loadtest/peers/job.py."""

    request_id: str
    account_id: str
    approved: bool
    open_to_buy: int


def new_row() -> dict[str, Any]:
    """An account at its first request."""
    return {"limit": LIMIT, "held": 0, "answers": {}}


def answer(row: dict[str, Any], request: Request) -> tuple[dict[str, Any], bool]:
    """(the answer, whether the row changed)"""
    known = row["answers"].get(request.request_id)
    if known is not None:
        return known, False
    approved = request.amount <= row["limit"] - row["held"]
    if approved:
        row["held"] += request.amount
    given = row["answers"][request.request_id] = {"approved": approved, "open_to_buy": row["limit"] - row["held"]}
    if len(row["answers"]) > KEPT:
        del row["answers"][next(iter(row["answers"]))]
    return given, True


def build(stage: Stage) -> faust.App:
    """The app: two topics, a table, an agent."""
    app = faust.App(
        stage.app_id,
        broker=f"kafka://{stage.bootstrap}",
        store="memory://",
        datadir=str(stage.folder),
        topic_partitions=stage.partitions,
    )
    requests = app.topic(stage.requests, key_type=str, value_type=Request)
    decisions = app.topic(stage.decisions, key_type=str, value_type=Decision)
    accounts = app.Table("accounts", default=new_row, partitions=stage.partitions)

    @app.agent(requests)
    async def decide(stream: faust.StreamT[Request]) -> None:
        async for request in stream:
            row = accounts[request.account_id]
            given, changed = answer(row, request)
            if changed:
                accounts[request.account_id] = row
            decision = Decision(request_id=request.request_id, account_id=request.account_id, **given)
            await decisions.send(key=request.account_id, value=decision)

    return app


def main() -> None:
    """Run until told to stop. Without a web server: Faust's listens on every address of the machine."""
    end_with_parent()
    app = build(Stage.from_arguments(sys.argv[1:]))
    sys.argv[1:] = ["worker", "--without-web", "--loglevel", "warn"]
    app.main()


if __name__ == "__main__":
    main()
