"""Every setting, in one typed place; each is the environment variable `OTB_<NAME>` (README has the table)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """Read once, by `agents/app.py` or the command line, and passed on as values."""

    model_config = SettingsConfigDict(env_prefix="OTB_", frozen=True)

    kafka: Annotated[
        str | None, Field(description="Kafka bootstrap servers, host:port[,host:port]; unset: embedded")
    ] = None
    postgres_dsn: Annotated[str | None, Field(description="PostgreSQL DSN of the ledger; unset: embedded")] = None
    home: Annotated[Path, Field(description="where servers and stores keep their data")] = Path.home() / ".opentobuy"

    app_id: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$", description="consumer group and changelog prefix")] = (
        "opentobuy"
    )
    worker: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9-]{1,40}$", description="this worker's name: its static group membership and producer id"
        ),
    ] = "worker-0"
    partitions: Annotated[int, Field(ge=1, le=1024, description="partitions of every topic")] = 4
    replication: Annotated[int, Field(ge=1, le=7, description="replicas of every topic")] = 1

    fetch_wait_ms: Annotated[int, Field(ge=1, le=1500, description="longest wait of a fetch for new records")] = 5
    max_slice: Annotated[int, Field(ge=1, le=50_000, description="most records decided in one transaction")] = 4000
    session_timeout_s: Annotated[
        int, Field(ge=6, le=60, description="a silent worker loses its partitions after this")
    ] = 6
    group_protocol: Annotated[
        Literal["classic"], Field(description="`classic`; `consumer` (KIP-848) is refused: docs/decisions/0016")
    ] = "classic"
    transaction_timeout_ms: Annotated[
        int, Field(ge=1000, le=60_000, description="broker aborts a stuck transaction after this")
    ] = 10_000
    standby_replicas: Annotated[
        int,
        Field(ge=0, le=6, description="other workers that keep a copy of a partition's rows, ready to take over"),
    ] = 0
    recovery_deadline_s: Annotated[int, Field(ge=5, description="recovery that takes longer ends the worker")] = 300

    fraud_model: Annotated[str, Field(description="`packaged`, `none`, or the path of an ONNX model")] = "packaged"
    fraud_cut_ppm: Annotated[
        int, Field(ge=0, le=1_000_001, description="decline as suspected fraud at or above this score; 1000001: never")
    ] = 900_000
    stand_in_limit: Annotated[
        int, Field(ge=0, description="largest amount, in minor units, approved while the fraud model fails")
    ] = 5_000
    hold_days: Annotated[
        int, Field(ge=1, le=60, description="life of a hold for which the networks have no rule of their own")
    ] = 7
    max_future_s: Annotated[
        int, Field(ge=0, description="a message dated further ahead of its arrival is dead-lettered")
    ] = 300
    shed_after_ms: Annotated[
        int,
        Field(ge=0, description="a request that waited longer is declined as `timed-out`, unscored; 0: none is"),
    ] = 1_500
    clock_tick_ms: Annotated[
        int, Field(ge=100, description="interval between ticks of the clock topic; holds are swept on a tick")
    ] = 1000

    metrics_host: Annotated[str, Field(description="address of the Prometheus endpoint")] = "127.0.0.1"
    worker_metrics_port: Annotated[Port, Field(description="0: any free port, printed at the start")] = 0
    sink_metrics_port: Annotated[Port, Field(description="0: any free port, printed at the start")] = 0
    sink_max_batch: Annotated[
        int, Field(ge=1, le=100_000, description="most journal entries in one Postgres transaction")
    ] = 5000

    gateway_host: Annotated[str, Field(description="address on which the gateway takes ISO 8583 connections")] = (
        "127.0.0.1"
    )
    gateway_port: Annotated[Port, Field(description="0: any free port, printed at the start")] = 0
    gateway_length: Annotated[
        Literal["binary-2", "binary-4", "ascii-4"],
        Field(description="how the length in front of a message is written: `binary-2`, `binary-4` or `ascii-4`"),
    ] = "binary-2"
    gateway_cards: Annotated[
        Path | None, Field(description="file (.json or .csv) of card numbers, their accounts and card tokens")
    ] = None
    gateway_deadline_ms: Annotated[
        int, Field(ge=50, le=60_000, description="a request without a decision is answered with 91 after this")
    ] = 2000
    gateway_max_in_flight: Annotated[
        int, Field(ge=1, le=10_000, description="most requests of one connection that wait for their answer")
    ] = 256
    gateway_metrics_port: Annotated[Port, Field(description="0: any free port, printed at the start")] = 0

    @field_validator("group_protocol", mode="before")
    @classmethod
    def _only_classic(cls, wanted: object) -> object:
        if wanted == "consumer":
            raise ValueError(
                "the consumer group protocol of KIP-848 is not supported, the classic one is: partitions, standbys and "
                "fencing rest on its assignment and generations (docs/decisions/0016-classic-group-protocol.md)"
            )
        return wanted
