"""Passwords that come in files, and where they go in a DSN."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from pydantic import SecretStr


class BadSecretFile(Exception):
    """A file that should hold a password does not; the message names setting and file, never what is in it."""


def in_file(path: Path | None, setting: str) -> SecretStr | None:
    """The first line of the file, None without a file. Raises BadSecretFile."""
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadSecretFile(f"{setting}={path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadSecretFile(f"{setting}={path}: not UTF-8") from None
    if len(lines) != 1 or not lines[0]:
        raise BadSecretFile(f"{setting}={path}: not one line with a password")
    return SecretStr(lines[0])


def completed(dsn: str, password: SecretStr | None, sslmode: str | None, ca_file: Path | None) -> str:
    """The DSN with what is given in place of what stands in it; treat the result as a secret."""
    parts = urlsplit(dsn)
    if password is not None:
        user, _, address = parts.netloc.rpartition("@")
        secret = quote(password.get_secret_value(), safe="")
        parts = parts._replace(netloc=f"{user.partition(':')[0]}:{secret}@{address}")
    query = dict(parse_qsl(parts.query)) | {
        name: str(value) for name, value in (("sslmode", sslmode), ("sslrootcert", ca_file)) if value is not None
    }
    return parts._replace(query=urlencode(query)).geturl()
