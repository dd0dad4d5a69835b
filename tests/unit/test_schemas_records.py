"""Version 1 as producers wrote it on the first day: these records are kept for ever, and have to be taken for ever.

They are literal JSON on purpose: made from the dataclasses, they would change with them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from deploy.schemas import generation
from models import messages
from tests.support.engine import Bench
from topics import codec
from topics.codec import TOPIC_OF_TYPE

REQUIRED_ONLY = {
    "authorization-request": b"""{"type": "authorization-request", "version": 1, "network_reference": "ref-1",
        "account_id": "acct-1", "card_token": "card-1", "card_expiry": 203012, "amount": 1250, "currency": "USD",
        "merchant_id": "merchant-1", "merchant_name": "Corner Shop", "merchant_country": "US", "mcc": 5411,
        "entry_mode": "chip", "card_present": true, "transmitted_at": 1790000001000}""",
    "authorization-increment": b"""{"type": "authorization-increment", "version": 1, "network_reference": "ref-2",
        "original_reference": "ref-1", "account_id": "acct-1", "amount": 500, "amount_is": "delta", "currency": "USD",
        "transmitted_at": 1790000002000}""",
    "authorization-advice": b"""{"type": "authorization-advice", "version": 1, "network_reference": "ref-3",
        "account_id": "acct-1", "reason": "stand-in", "approved": true, "card_token": "card-1", "amount": 900,
        "currency": "USD", "merchant_id": "merchant-1", "merchant_name": "Corner Shop", "merchant_country": "US",
        "mcc": 5411, "entry_mode": "contactless", "card_present": true, "transmitted_at": 1790000003000}""",
    "reversal": b"""{"type": "reversal", "version": 1, "message_id": "rev-1", "network_reference": "ref-3",
        "account_id": "acct-1", "transmitted_at": 1790000004000}""",
    "presentment": b"""{"type": "presentment", "version": 1, "message_id": "pres-1", "network_reference": "ref-1",
        "account_id": "acct-1", "amount": 1750, "currency": "USD", "merchant_id": "merchant-1",
        "merchant_name": "Corner Shop", "mcc": 5411, "final": true, "transmitted_at": 1790000005000}""",
    "refund": b"""{"type": "refund", "version": 1, "message_id": "refund-1", "account_id": "acct-1", "amount": 200,
        "currency": "USD", "merchant_id": "merchant-1", "merchant_name": "Corner Shop", "mcc": 5411,
        "transmitted_at": 1790000006000}""",
    "dispute-event": b"""{"type": "dispute-event", "version": 1, "message_id": "dispute-1", "account_id": "acct-1",
        "original_reference": "ref-1", "stage": "chargeback", "amount": 300, "currency": "USD",
        "transmitted_at": 1790000007000}""",
    "payment-received": b"""{"type": "payment-received", "version": 1, "message_id": "pay-1", "account_id": "acct-1",
        "amount": 1000, "currency": "USD", "transmitted_at": 1790000008000}""",
    "account-opened": b"""{"type": "account-opened", "version": 1, "message_id": "open-1", "account_id": "acct-1",
        "card_token": "card-1", "card_expiry": 203012, "credit_limit": 500000, "currency": "USD",
        "home_country": "US", "transmitted_at": 1790000000000}""",
    "account-status-changed": b"""{"type": "account-status-changed", "version": 1, "message_id": "status-1",
        "account_id": "acct-1", "status": "frozen", "transmitted_at": 1790000009000}""",
    "card-status-changed": b"""{"type": "card-status-changed", "version": 1, "message_id": "card-status-1",
        "account_id": "acct-1", "card_token": "card-1", "status": "lost", "transmitted_at": 1790000010000}""",
    "credit-limit-changed": b"""{"type": "credit-limit-changed", "version": 1, "message_id": "limit-1",
        "account_id": "acct-1", "credit_limit": 250000, "currency": "USD", "transmitted_at": 1790000011000}""",
    "controls-set": b"""{"type": "controls-set", "version": 1, "message_id": "controls-1", "account_id": "acct-1",
        "transmitted_at": 1790000012000}""",
    "clock-tick": b"""{"type": "clock-tick", "version": 1, "transmitted_at": 1790000013000}""",
}
KINDS = list(REQUIRED_ONLY)
SCHEMAS = generation.schemas()
CONTROLS_WITH_RULES = b"""{"type": "controls-set", "version": 1, "message_id": "controls-2", "account_id": "acct-1",
    "transmitted_at": 1790000014000, "velocity": [{"name": "daily", "window": "day"}],
    "lists": [{"name": "no-bets", "of": "mcc", "mode": "deny", "values": ["7995"]}]}"""


def decode(value: bytes) -> messages.Inbound:
    body = json.loads(value)
    key = body["account_id"].encode() if "account_id" in body else None
    return codec.decode(TOPIC_OF_TYPE[body["type"]], key, value)


def test_there_is_one_for_every_type() -> None:
    assert sorted(KINDS) == sorted(generation.type_of(message) for message in generation.INBOUND)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_required_fields_are_enough(kind: str) -> None:
    body = json.loads(REQUIRED_ONLY[kind])
    schema = SCHEMAS[f"{kind}.v1"]
    assert body.keys() == set(schema["required"]), "a field without a default is new, or one has gone"
    message = decode(REQUIRED_ONLY[kind])
    assert {name: getattr(message, name) for name in body} == body


@pytest.mark.parametrize("kind", KINDS)
def test_fields_left_out_mean_what_the_schema_says(kind: str) -> None:
    message, schema = decode(REQUIRED_ONLY[kind]), SCHEMAS[f"{kind}.v1"]
    defaults = {name: field["default"] for name, field in schema["properties"].items() if "default" in field}
    assert defaults.keys() == schema["properties"].keys() - set(schema["required"])
    assert {name: getattr(message, name) for name in defaults} == defaults


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_field_is_ignored(kind: str) -> None:
    extended = REQUIRED_ONLY[kind].rstrip(b"}") + b', "added_in_2031": {"nested": [1, "two", null]}}'
    assert decode(extended) == decode(REQUIRED_ONLY[kind])


def test_rules_of_controls_need_no_more_than_they_did() -> None:
    message = decode(CONTROLS_WITH_RULES)
    assert isinstance(message, messages.ControlsSet)
    assert message.velocity == [messages.VelocityRule("daily", "day")]
    assert message.lists == [messages.ListRule("no-bets", "mcc", "deny", ["7995"])]


def test_what_the_engine_answers_is_what_the_schemas_promise() -> None:
    """Topic, fields and types of everything it sends, when it is told one account's story in these records."""
    story = sorted((json.loads(value) for value in REQUIRED_ONLY.values()), key=lambda body: body["transmitted_at"])
    story.append(json.loads(REQUIRED_ONLY["presentment"]) | {"currency": "EUR", "message_id": "pres-2"})
    bench = Bench()
    for body in story:
        key = body["account_id"].encode() if "account_id" in body else None
        bench.run((TOPIC_OF_TYPE[body["type"]], key, json.dumps(body).encode()))
    contracts: dict[str, TypeAdapter[Any]] = {
        generation.type_of(message): TypeAdapter(message) for message in generation.OUTBOUND
    }
    for topic, body in bench.sent:
        promised = SCHEMAS[f"{body['type']}.v{body['version']}"]
        assert topic == promised["x-topic"]
        assert body.keys() == promised["properties"].keys()
        contracts[body["type"]].validate_json(json.dumps(body), strict=True)
    assert {body["type"] for _topic, body in bench.sent} == contracts.keys() - {"fraud-score"}
