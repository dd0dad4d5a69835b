"""What the gateway tells Prometheus, in a registry that the caller owns and serves."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from topics.iso8583.response import RESPONSE_TYPES

_SECONDS: Final = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0)
_TYPES: Final = {name.encode(): name for name in (*RESPONSE_TYPES, "0800", "0801")}


class GatewayMetrics:
    """Every metric of one gateway; `otb_gateway_` begins each name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "otb_gateway_requests", "requests answered, by message type and response code (element 39)",
            ["type", "code"], registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "otb_gateway_answer_seconds", "from the arrival of a request to its answer",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge("otb_gateway_in_flight", "requests that wait for their answer", registry=registry)
        self.connections = Gauge("otb_gateway_connections", "open connections", registry=registry)
        self.timeouts = Counter(
            "otb_gateway_timeouts", "requests without a decision within the deadline, by type of ours",
            ["type"], registry=registry,
        )  # fmt: skip
        self.late = Counter(
            "otb_gateway_late_replies", "replies that came after the deadline, by type", ["type"], registry=registry
        )
        self.reversals = Counter(
            "otb_gateway_reversals", "reversals of the gateway's own: authorisations taken back", registry=registry
        )
        self.reversals_waiting = Gauge(
            "otb_gateway_reversals_waiting", "reversals of its own that Kafka has not taken yet", registry=registry
        )
        self.not_undone = Counter(
            "otb_gateway_not_undone", "late approvals of increments to a total: the hold keeps them", registry=registry
        )
        self.undelivered = Counter("otb_gateway_undelivered", "answers whose connection had gone", registry=registry)
        self.malformed = Counter(
            "otb_gateway_malformed", "frames that are no request, by reason", ["reason"], registry=registry
        )
        self.broken = Counter(
            "otb_gateway_broken_connections", "connections closed for a length that is none", registry=registry
        )
        self.refused_connections = Counter(
            "otb_gateway_refused_connections", "connections closed because there were too many", registry=registry
        )

    def answered(self, message_type: bytes, code: str, seconds: float) -> None:
        """One answer, `seconds` after its request came."""
        self.requests.labels(_TYPES.get(message_type, "other"), code).inc()
        self.seconds.observe(seconds)
