"""Settings of TLS, passwords and rights: contradictions are named, secrets are shown nowhere."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from agents.secrets import BadSecretFile, completed
from agents.settings import Settings
from deploy.cli.app import build
from deploy.cli.failures import explain
from deploy.engine import environment
from loadtest import clients
from tests.support.certificates import Authority
from topics.admin import changelog
from topics.cluster import BadCertificateFile, Cluster
from topics.declarations import ALL
from topics.permissions import Role, permissions

SECRET = "correct-horse-battery"  # noqa: S105
SASL = {
    "kafka": "broker:9093",
    "kafka_security_protocol": "SASL_SSL",
    "kafka_username": "otb",
    "kafka_password": SECRET,
}


@pytest.fixture(autouse=True)
def nothing_inherited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OTB_KAFKA", "OTB_POSTGRES_DSN", "OTB_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTB_HOME", str(tmp_path))


def refused(**settings: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Settings(**settings)
    assert SECRET not in str(caught.value)
    failure = explain(caught.value)
    assert (failure.code, SECRET in failure.line) == (2, False)
    return failure.line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kafka": None}, "OTB_KAFKA_SECURITY_PROTOCOL: SASL_SSL needs OTB_KAFKA"),
        ({"kafka_security_protocol": "PLAINTEXT"}, "OTB_KAFKA_SECURITY_PROTOCOL: PLAINTEXT uses no password"),
        ({"kafka_security_protocol": "TLS"}, "OTB_KAFKA_SECURITY_PROTOCOL=TLS"),
        ({"kafka_username": None}, "OTB_KAFKA_USERNAME: not set"),
        ({"kafka_password": None}, "OTB_KAFKA_PASSWORD_FILE: not set"),
        ({"kafka_ca_file": "/nowhere/ca.pem"}, "OTB_KAFKA_CA_FILE=/nowhere/ca.pem"),
        ({"kafka_password_file": __file__}, "OTB_KAFKA_PASSWORD_FILE: set together"),
        ({"kafka_certificate_file": __file__}, "OTB_KAFKA_KEY_FILE"),
        ({"kafka_sasl_mechanism": "PLAIN"}, "OTB_KAFKA_SASL_MECHANISM=PLAIN"),
        ({"postgres_password": SECRET}, "OTB_POSTGRES_DSN: not set"),
        ({"postgres_sslmode": "prefer", "postgres_dsn": "postgresql://db/x"}, "OTB_POSTGRES_SSLMODE=prefer"),
    ],
)
def test_contradictions_are_one_line_that_names_the_variable(changes: dict[str, Any], words: str) -> None:
    assert words in refused(**(SASL | changes))


def test_a_bad_value_of_a_secret_is_not_repeated() -> None:
    assert refused(**(SASL | {"kafka_password": [SECRET]})).startswith("OTB_KAFKA_PASSWORD: ")
    assert refused(**(SASL | {"postgres_dsn": [SECRET]})).startswith("OTB_POSTGRES_DSN: ")


def test_secrets_are_in_no_repr() -> None:
    settings = Settings(**SASL, postgres_dsn=f"postgresql://otb:{SECRET}@db/ledger", postgres_password=SECRET)  # type: ignore[arg-type]
    cluster = settings.cluster("broker:9093")
    assert SECRET not in f"{settings} {settings!r} {cluster} {cluster!r}"
    assert settings.cluster("broker:9093").aiokafka()["sasl_plain_password"] == SECRET
    assert cluster.librdkafka()["sasl.password"] == SECRET
    assert environment(settings)["OTB_KAFKA_PASSWORD"] == SECRET, "children of `otb up` get it"


@pytest.mark.usefixtures("impatient")
def test_no_help_and_no_error_shows_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SASL.items():
        monkeypatch.setenv(f"OTB_{name.upper()}", str(value))
    monkeypatch.setenv("OTB_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("OTB_DEBUG", "0")  # --debug changes it, for this process and its children
    monkeypatch.setattr(logging.root, "handlers", [])  # a command logs to a stream that ends with it
    for arguments in (["worker", "--help"], ["worker"], ["tail", "clock"], ["acls", "--apply"], ["--debug", "sink"]):
        monkeypatch.setenv("OTB_POSTGRES_DSN", f"postgresql://otb:{SECRET}@127.0.0.1:1/ledger")
        result = CliRunner().invoke(build(), arguments)
        assert SECRET not in result.output + result.stderr
        assert result.exit_code == (0 if "--help" in arguments else 1), result.output


@pytest.mark.usefixtures("impatient")
def test_a_secured_broker_that_is_not_there_is_waited_for_once() -> None:
    cluster = Cluster("127.0.0.1:1", "SASL_SSL", username="worker", password=SecretStr(SECRET))
    nobody: Any = None  # a client that cannot be asked: the handshake was in vain already
    with pytest.raises(clients.Unreachable, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        clients.reach(nobody, cluster)


def test_a_password_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET + "\n")
    settings = Settings(**(SASL | {"kafka_password": None}), kafka_password_file=file)
    assert settings.cluster("broker:9093").password == SecretStr(SECRET)
    for content in (b"", b"\n", f"{SECRET}\n{SECRET}\n".encode(), b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(BadSecretFile, match="OTB_KAFKA_PASSWORD_FILE=") as caught:
            settings.cluster("broker:9093")
        assert SECRET not in str(caught.value)


def test_a_dsn_is_completed() -> None:
    dsn = completed(
        "postgresql://otb:old@db:5432/ledger?connect_timeout=3", SecretStr("p@ss/w:rd"), "verify-full", Path("/ca")
    )
    parts = urlsplit(dsn)
    assert (parts.hostname, parts.port, parts.username, parts.password) == ("db", 5432, "otb", "p%40ss%2Fw%3Ard")
    query = {"connect_timeout": ["3"], "sslmode": ["verify-full"], "sslrootcert": ["/ca"]}
    assert parse_qs(parts.query) == query
    assert completed("postgresql://otb@db/ledger", None, None, None) == "postgresql://otb@db/ledger"


def test_brokers_are_checked_by_name_and_by_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = Cluster("broker:9093", "SSL", ca_file=authority.file).ssl_context()
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    librdkafka = Cluster("broker:9093", "SSL").librdkafka()
    assert librdkafka["ssl.endpoint.identification.algorithm"] == "https"
    assert librdkafka.get("enable.ssl.certificate.verification", True)
    assert Cluster("broker:9092").librdkafka() == {"bootstrap.servers": "broker:9092", "security.protocol": "PLAINTEXT"}


def test_files_that_hold_no_certificate_are_named(tmp_path: Path) -> None:
    authority, wrong = Authority(tmp_path), tmp_path / "wrong.pem"
    wrong.write_text("nothing\n")
    one, other = authority.sign("one"), authority.sign("other")
    Cluster("b:1", "SSL", certificate_file=one.certificate, key_file=one.key).ssl_context()
    for cluster in (
        Cluster("b:1", "SSL", ca_file=wrong),
        Cluster("b:1", "SSL", ca_file=authority.file, certificate_file=one.certificate, key_file=other.key),
    ):
        with pytest.raises(BadCertificateFile, match=r"wrong\.pem|one\.crt"):
            cluster.aiokafka()


def test_roles_together_use_every_topic_and_only_the_worker_creates() -> None:
    names = {spec.name for spec in (*ALL, changelog("other-app"))}
    granted = {role: [one for one in permissions(role, "other-app") if one.resource == "topic"] for role in Role}
    assert {one.name for each in granted.values() for one in each} == names
    assert {role for role, each in granted.items() for one in each if "create" in one.operations} == {Role.WORKER}
    writers = {
        role
        for role, each in granted.items()
        for one in each
        if one.name == "journal-entries" and "write" in one.operations
    }
    assert writers == {Role.WORKER}
