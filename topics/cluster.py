"""Where Kafka is and how it is spoken to: one value, which every client of ours turns into its own arguments.

    Cluster.aiokafka()     keyword arguments for aiokafka's clients (worker, sink, gateway)
    Cluster.librdkafka()   configuration for confluent-kafka's (the commands that look, load and administrate)

Hosts of brokers are always checked against their certificates; there is no setting that turns it off.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aiokafka.helpers import create_ssl_context
from pydantic import SecretStr

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256"]


class BadCertificateFile(Exception):
    """A file of certificates or keys that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Kafka cluster. An address alone is one without TLS and passwords, such as the embedded one on loopback."""

    bootstrap: str  # host:port[,host:port]
    protocol: SecurityProtocol = "PLAINTEXT"
    ca_file: Path | None = None  # PEM; None: the system's authorities
    certificate_file: Path | None = None  # PEM, of this client
    key_file: Path | None = None  # PEM
    mechanism: SaslMechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr | None = None

    def __post_init__(self) -> None:
        if self.authenticated and (self.username is None or self.password is None):
            raise ValueError(f"{self.protocol} needs a user name and a password")

    def __str__(self) -> str:
        return self.bootstrap

    @property
    def encrypted(self) -> bool:
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def authenticated(self) -> bool:
        """By user name and password."""
        return self.protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    def aiokafka(self) -> dict[str, Any]:
        """Keyword arguments: address and security. Raises BadCertificateFile."""
        found: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.protocol}
        if self.encrypted:
            found["ssl_context"] = self.ssl_context()
        if self.password is not None:
            found |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password.get_secret_value(),
            }
        return found

    def librdkafka(self) -> dict[str, Any]:
        """Configuration: address and security."""
        found: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "security.protocol": self.protocol}
        if self.encrypted:
            found["ssl.endpoint.identification.algorithm"] = "https"
            found |= {
                name: str(path)
                for name, path in (
                    ("ssl.ca.location", self.ca_file),
                    ("ssl.certificate.location", self.certificate_file),
                    ("ssl.key.location", self.key_file),
                )
                if path is not None
            }
        if self.password is not None:
            found |= {
                "sasl.mechanism": self.mechanism,
                "sasl.username": self.username,
                "sasl.password": self.password.get_secret_value(),
            }
        return found

    def ssl_context(self) -> ssl.SSLContext:
        """What a TLS connection to a broker must satisfy: a certificate of our authority for that host, TLS 1.2 or
        newer. Raises BadCertificateFile."""
        try:
            context: ssl.SSLContext = create_ssl_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise BadCertificateFile(f"{self.ca_file}: no certificates in PEM that can be read") from error
        if self.certificate_file is not None:
            try:
                context.load_cert_chain(self.certificate_file, self.key_file, _no_passphrase)
            except (OSError, ssl.SSLError, ValueError) as error:
                message = f"{self.certificate_file}: no certificate in PEM that fits the key in {self.key_file}"
                raise BadCertificateFile(message) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def _no_passphrase() -> str:
    """Without it OpenSSL would ask on the terminal."""
    raise ValueError("the key has a passphrase")
