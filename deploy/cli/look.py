"""`otb tail` and `otb account`: what is on a topic, and how the engine sees an account."""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import orjson
import typer
from confluent_kafka import Message
from rich.table import Table

from deploy import reading
from deploy.cli import environment
from deploy.cli.failures import UserError
from deploy.cli.output import print_json, results
from loadtest import clients
from models.account import Account
from models.money import display
from tables.rows import UnreadableRow
from topics.cluster import Cluster

_LAST = 10


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(tail)
    app.command()(account)


def tail(
    topic: Annotated[str, typer.Argument(help="Topic to read, such as authorization-decisions.")],
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Start with the oldest record.")] = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for further records.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many records.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One compact JSON document per line.")] = False,
) -> None:
    """Print the committed records of a topic.

    Starts with new records; with --no-follow, prints the last ones (10, or --limit) and ends.
    """
    cluster = environment.cluster(environment.settings())
    if follow:
        records = _following(cluster, topic, from_beginning)
    elif from_beginning:
        records = reading.committed(cluster, topic)
    else:
        records = iter(_last(cluster, topic, limit or _LAST))
    for count, message in enumerate(records, start=1):
        _print_record(message, as_json)
        if count == limit:
            break


def account(
    account_id: Annotated[str, typer.Argument(help="The account's id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole row as JSON.")] = False,
) -> None:
    """Show an account's row as the engine last committed it."""
    base = environment.settings()
    if not account_id:
        raise UserError("an account id is not empty")
    cluster = environment.cluster(base)
    try:
        row = reading.account_row(cluster, base, account_id)
    except UnreadableRow as error:
        raise UserError(f"the row of account {account_id} cannot be read: {error}") from error
    if row is None:
        raise UserError(f"there is no account {account_id}")
    now_ms = time.time_ns() // 1_000_000
    if as_json:
        print_json(_as_dict(row) | {"open_holds": row.open_holds(), "open_to_buy": row.open_to_buy(now_ms)})
    else:
        _show(row, now_ms)


def _following(cluster: Cluster, topic: str, from_beginning: bool) -> Iterator[Message]:
    client = clients.low_latency_reader(cluster)
    try:
        partitions = clients.partitions_of(client, topic, cluster)
        beginning = clients.from_beginning(partitions)
        offsets = beginning if from_beginning else clients.end_offsets(client, topic, partitions)
        clients.assign_from(client, topic, offsets)
        while True:
            for message in clients.arrived(client, 500, 0.2):
                clients.value_of(message)  # raises for a consumer error
                yield message
    finally:
        client.close()


def _last(cluster: Cluster, topic: str, wanted: int) -> list[Message]:
    """The newest records by time. Transaction markers take offsets too, so look further back than asked."""
    client = clients.reader(cluster)
    try:
        partitions = clients.partitions_of(client, topic, cluster)
        ends = clients.end_offsets(client, topic, partitions)
        firsts = clients.first_offsets(client, topic, partitions)
    finally:
        client.close()
    starts = {partition: max(firsts[partition], end - 4 * wanted - 100) for partition, end in ends.items()}
    found = list(reading.committed(cluster, topic, starts))
    return sorted(found, key=lambda message: message.timestamp()[1])[-wanted:]


def _print_record(message: Message, as_json: bool) -> None:
    key, value = _readable(message.key()), _readable(message.value())
    place = f"{message.partition()}:{message.offset()}"
    if as_json:
        record = {
            "partition": message.partition(),
            "offset": message.offset(),
            "timestamp": message.timestamp()[1],
            "key": key,
            "value": value,
        }
        sys.stdout.write(orjson.dumps(record).decode() + "\n")
        sys.stdout.flush()
        return
    console = results()
    console.print(f"[dim]{place} {key if key is not None else '(no key)'}[/dim]", soft_wrap=True)
    console.print_json(data=value)


def _readable(content: bytes | None) -> Any:
    """JSON if it is JSON, else text if it is text, else base64."""
    if content is None:
        return None
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        parsed = None
    if isinstance(parsed, dict | list):
        return parsed
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _as_dict(value: Any) -> Any:
    """Rows are stored as arrays; people want names."""
    if isinstance(value, msgspec.Struct):
        return {name: _as_dict(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(key): _as_dict(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_as_dict(item) for item in value]
    return msgspec.to_builtins(value)


def _show(row: Account, now_ms: int) -> None:
    console = results()
    money = {
        "credit limit": row.credit_limit,
        "posted balance": row.posted_balance,
        "open holds": row.open_holds(),
        "open-to-buy": row.open_to_buy(now_ms),
    }
    table = Table(title=f"Account {row.account_id}", title_justify="left", show_header=False)
    table.add_row("status", f"{row.status}, {row.home_country}")
    for name, amount in money.items():
        table.add_row(name, display(amount, row.currency))
    table.add_row(
        "cards", "\n".join(f"{token}  {card.status}, valid to {card.expiry}" for token, card in row.cards.items())
    )
    table.add_row("journal entries", f"{row.sequence:,}")
    console.print(table)
    if row.holds:
        console.print(_holds_table(row, now_ms))


def _holds_table(row: Account, now_ms: int) -> Table:
    table = Table("network reference", "amount", "merchant", "ends", title="Holds", title_justify="left")
    for reference, hold in row.holds.items():
        ends = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(hold.expires_at / 1000))
        note = " (ended)" if hold.expires_at <= now_ms else ""
        table.add_row(reference, display(hold.amount, row.currency), f"{hold.merchant_id} ({hold.mcc})", ends + note)
    return table
