"""Every setting, in one typed place; each is the environment variable `OTB_<NAME>` (README has the table)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from agents.secrets import completed, in_file
from topics.cluster import Cluster, SaslMechanism, SecurityProtocol

PostgresTls = Literal["disable", "require", "verify-ca", "verify-full"] | None
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """Read once, by `agents/app.py` or the command line, and passed on as values."""

    model_config = SettingsConfigDict(env_prefix="OTB_", frozen=True, hide_input_in_errors=True)

    kafka: Annotated[
        str | None, Field(description="Kafka bootstrap servers, host:port[,host:port]; unset: embedded")
    ] = None
    postgres_dsn: Annotated[
        str | None, Field(repr=False, description="PostgreSQL DSN of the ledger; unset: embedded")
    ] = None
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

    fetch_wait_ms: Annotated[
        int, Field(ge=1, le=1500, description="wait of a fetch for new records; longer where none come")
    ] = 5
    max_slice: Annotated[
        int,
        Field(ge=1, le=50_000, description="most requests decided at once, beside rations of the other topics"),
    ] = 4000
    commit_every_ms: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="what follows from decisions is committed so long after them; "
            "0: before them, each slice in a transaction of its own",
        ),
    ] = 50
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
    recovery_deadline_s: Annotated[
        int,
        Field(
            ge=5,
            description="recovery that comes no further, or waiting for leading brokers, ends a worker after this",
        ),
    ] = 300

    stall_deadline_s: Annotated[
        int, Field(ge=5, description="a worker that decides nothing for so long while input waits ends")
    ] = 60

    row_version: Annotated[
        int | None,
        Field(
            description="version of the rows that are written, while workers of an older release run; unset: the newest"
        ),
    ] = None

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
    worker_core: Annotated[
        int | None,
        Field(ge=0, description="core on which a worker's threads stay; unset: any, in `otb up` the last of several"),
    ] = None
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

    kafka_security_protocol: Annotated[
        SecurityProtocol,
        Field(description="how brokers are spoken to: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`"),
    ] = "PLAINTEXT"
    kafka_ca_file: Annotated[
        FilePath | None, Field(description="authorities (PEM) that sign brokers' certificates; unset: the system's")
    ] = None
    kafka_certificate_file: Annotated[
        FilePath | None, Field(description="certificate (PEM) of this client, where brokers ask for one")
    ] = None
    kafka_key_file: Annotated[FilePath | None, Field(description="its private key (PEM), without a passphrase")] = None
    kafka_sasl_mechanism: Annotated[
        SaslMechanism, Field(description="how the password is proved: `SCRAM-SHA-512` or `SCRAM-SHA-256`")
    ] = "SCRAM-SHA-512"
    kafka_username: Annotated[str | None, Field(min_length=1, description="principal for SASL")] = None
    kafka_password: Annotated[SecretStr | None, Field(description="its password")] = None
    kafka_password_file: Annotated[FilePath | None, Field(description="file with the password, instead of it")] = None
    postgres_sslmode: Annotated[
        PostgresTls, Field(description="TLS to PostgreSQL, as libpq names it; unset: what the DSN says")
    ] = None
    postgres_ca_file: Annotated[
        FilePath | None, Field(description="authorities (PEM) that sign the certificate of PostgreSQL")
    ] = None
    postgres_password: Annotated[SecretStr | None, Field(description="password for the DSN")] = None
    postgres_password_file: Annotated[FilePath | None, Field(description="file with that password, instead of it")] = (
        None
    )

    @field_validator("group_protocol", mode="before")
    @classmethod
    def _only_classic(cls, wanted: object) -> object:
        if wanted == "consumer":
            raise ValueError(
                "the consumer group protocol of KIP-848 is not supported, the classic one is: partitions, standbys and "
                "fencing rest on its assignment and generations (docs/decisions/0016-classic-group-protocol.md)"
            )
        return wanted

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for wrong, variable, reason in self._contradictions():
            if wrong:
                fault = {"variable": variable, "reason": reason}
                raise PydanticCustomError("contradiction", "OTB_{variable}: {reason}", fault)
        return self

    def _contradictions(self) -> list[tuple[bool, str, str]]:
        """(whether it is so, the variable at fault, what is wrong)"""
        protocol = self.kafka_security_protocol
        sasl, tls = protocol.startswith("SASL"), protocol.endswith("SSL")
        passwords = (self.kafka_password, self.kafka_password_file)
        certificates = (self.kafka_certificate_file, self.kafka_key_file)
        of_tls = any((self.kafka_ca_file, *certificates))
        of_sasl = any((self.kafka_username, *passwords))
        dsn_passwords = (self.postgres_password, self.postgres_password_file)
        of_postgres = any((self.postgres_sslmode, self.postgres_ca_file, *dsn_passwords))
        return [
            (protocol != "PLAINTEXT" and not self.kafka, "KAFKA_SECURITY_PROTOCOL", f"{protocol} needs OTB_KAFKA"),
            (of_tls and not tls, "KAFKA_SECURITY_PROTOCOL", f"{protocol} uses no certificates: SSL or SASL_SSL does"),
            (of_sasl and not sasl, "KAFKA_SECURITY_PROTOCOL", f"{protocol} uses no password: SASL_SSL does"),
            (sasl and not self.kafka_username, "KAFKA_USERNAME", f"not set, and {protocol} needs it"),
            (sasl and not any(passwords), "KAFKA_PASSWORD_FILE", f"not set, and {protocol} needs a password"),
            (all(passwords), "KAFKA_PASSWORD_FILE", "set together with OTB_KAFKA_PASSWORD"),
            (any(certificates) and not all(certificates), "KAFKA_KEY_FILE", "a certificate needs its key"),
            (of_postgres and not self.postgres_dsn, "POSTGRES_DSN", "not set, and TLS or a password for it is"),
            (all(dsn_passwords), "POSTGRES_PASSWORD_FILE", "set together with OTB_POSTGRES_PASSWORD"),
        ]

    def cluster(self, bootstrap: str) -> Cluster:
        """The Kafka cluster at `bootstrap`, spoken to as the settings say. Raises BadSecretFile."""
        password = self.kafka_password or in_file(self.kafka_password_file, "OTB_KAFKA_PASSWORD_FILE")
        return Cluster(
            bootstrap,
            self.kafka_security_protocol,
            self.kafka_ca_file,
            self.kafka_certificate_file,
            self.kafka_key_file,
            self.kafka_sasl_mechanism,
            self.kafka_username,
            password,
        )

    def ledger_dsn(self, dsn: str) -> str:
        """`dsn` with the password and the demands on TLS that the settings have. Raises BadSecretFile."""
        password = self.postgres_password or in_file(self.postgres_password_file, "OTB_POSTGRES_PASSWORD_FILE")
        return completed(dsn, password, self.postgres_sslmode, self.postgres_ca_file)
