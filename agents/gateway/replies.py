"""Replies of the engine, and which message each of them answers."""

from __future__ import annotations

from typing import Annotated, Any, Final

import orjson
from pydantic import Field, TypeAdapter

from models.messages import (
    AdviceAcknowledgement,
    AuthorizationAdvice,
    AuthorizationDecision,
    AuthorizationMessage,
    Reversal,
    ReversalAcknowledgement,
)
from topics.iso8583.response import Reply

Key = tuple[str, str, str]
"""(type of the reply, account id, network reference or, of a reversal, message id)"""

_replies: Final[TypeAdapter[Reply]] = TypeAdapter(Annotated[Reply, Field(discriminator="type")])
_NO_KEY: Final[Key] = ("", "", "")


def expected_by(message: AuthorizationMessage) -> Key:
    """The key of the reply to `message`. Two messages with equal keys are the same message, or in conflict."""
    if isinstance(message, Reversal):
        return "reversal-acknowledgement", message.account_id, message.message_id
    kind = "advice-acknowledgement" if isinstance(message, AuthorizationAdvice) else "authorization-decision"
    return kind, message.account_id, message.network_reference


def parse(value: bytes | None) -> dict[str, Any]:
    """The body of a record of `authorization-decisions`, not yet validated; raises ValueError."""
    body = orjson.loads(value or b"")
    if not isinstance(body, dict):
        raise ValueError("not an object")
    return body


def key_of(body: dict[str, Any]) -> Key:
    kind = body.get("type")
    identity = "message_id" if kind == "reversal-acknowledgement" else "network_reference"
    key = kind, body.get("account_id"), body.get(identity)
    return key if all(isinstance(part, str) for part in key) else _NO_KEY  # type: ignore[return-value]


def validate(body: dict[str, Any]) -> Reply:
    """Raises pydantic.ValidationError, a ValueError."""
    return _replies.validate_python(body)


def answers(message: AuthorizationMessage, reply: Reply) -> bool:
    """Whether a reply with the right key can be this message's: somebody else may have sent the same reference with
    other content, and what was decided for another amount must not reach our terminal."""
    if isinstance(reply, ReversalAcknowledgement):
        return reply.network_reference == message.network_reference
    if isinstance(message, Reversal):
        return False
    if isinstance(reply, AuthorizationDecision) and reply.reason == "malformed":
        return True
    same_amount = reply.amount == message.amount
    return same_amount and (isinstance(reply, AdviceAcknowledgement) or reply.currency == message.currency)
