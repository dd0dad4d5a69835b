"""`otb acls`: the rights that every kind of process needs on the cluster, printed or applied."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from deploy import acls as lists
from deploy.cli import environment
from deploy.cli.failures import UserError
from deploy.cli.output import print_json, results
from loadtest import clients
from topics.permissions import Role, permissions


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(acls)


def acls(
    role: Annotated[list[Role] | None, typer.Option(help="Only this role; may be repeated.")] = None,
    principal: Annotated[
        list[str] | None, typer.Option(help="Another name: worker=NAME; default: opentobuy-worker, and so on.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Add them to the cluster on OTB_KAFKA, as its super user.")
    ] = False,
    commands: Annotated[bool, typer.Option("--commands", help="Print command lines of kafka-acls.sh.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """Show what each principal may do on Kafka, or grant it."""
    settings = environment.settings()
    principals = lists.default_principals(settings.app_id) | _renamed(principal or [])
    principals = {each: name for each, name in principals.items() if not role or each in role}
    if apply:
        cluster = environment.cluster(settings)
        clients.require(cluster)
        wanted = lists.bindings(principals, settings.app_id)
        lists.apply(cluster, wanted)
        results().print(f"{len(wanted)} rights of {len(principals)} principals are on {cluster}", soft_wrap=True)
    elif commands:
        for line in lists.commands(settings.kafka or "HOST:9092", principals, settings.app_id):
            typer.echo(line)
    elif as_json:
        print_json(
            [
                {"role": each, "principal": f"User:{name}", "resource": one.resource, "name": one.name}
                | {"prefixed": one.prefixed, "operations": list(one.operations)}
                for each, name in principals.items()
                for one in permissions(each, settings.app_id)
            ]
        )
    else:
        _show(principals, settings.app_id)


def _renamed(given: list[str]) -> dict[Role, str]:
    found = {}
    for each in given:
        role, _, name = each.partition("=")
        if role not in list(Role) or not name:
            raise UserError(f"--principal {each}: not one of {', '.join(Role)}, then = and a name")
        found[Role(role)] = name
    return found


def _show(principals: lists.Principals, app_id: str) -> None:
    table = Table("principal", "resource", "name", "operations")
    for role, name in principals.items():
        for one in permissions(role, app_id):
            table.add_row(name, one.resource, one.name + ("*" if one.prefixed else ""), ", ".join(one.operations))
    results().print(table)
