"""Which reply belongs to which message, and what goes without saying about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.messages import AuthorizationRequest, Inbound
from tests.support.scenario.story import Expected


def take(replies: list[dict[str, Any]], message: Inbound) -> dict[str, Any] | None:
    """The first reply to `message` that nobody has taken yet."""
    name = "message_id" if hasattr(message, "message_id") else "network_reference"
    identity = getattr(message, name, None)
    for reply in replies:
        if reply.get(name) == identity and _answers(reply, message):
            replies.remove(reply)
            return reply
    return None


def _answers(reply: Mapping[str, Any], message: Inbound) -> bool:
    kinds = {
        "authorization-request": "authorization-decision", "authorization-increment": "authorization-decision",
        "authorization-advice": "advice-acknowledgement", "reversal": "reversal-acknowledgement",
    }  # fmt: skip
    wanted = kinds.get(message.type, "account-update")
    return reply["type"] == wanted and (wanted != "account-update" or reply["cause"] == message.type)


def implied(message: Inbound, reply: Mapping[str, Any], expected: Expected) -> dict[str, Any]:
    """What goes without saying: a request is approved as asked or at nothing, and no reason stands in an approval."""
    if reply["type"] != "authorization-decision":
        return {}
    if expected.outcome == "declined":
        return {"approved_amount": 0, "approval_code": None}
    implied: dict[str, Any] = {"reason": None, "control": None, "stand_in": False}
    if isinstance(message, AuthorizationRequest) and expected.outcome == "approved":
        implied["approved_amount"] = message.amount
    return implied


def changes_nothing(expected: Expected) -> bool:
    conflict = "conflicting-duplicate" in (expected.outcome, expected.reply.get("reason"))
    return conflict or expected.same_as is not None


def _existence(of: object) -> str:
    return "none" if of is None else "exists"
