"""Every foreseeable failure as one line for the user.

UserError       a mistake or a missing condition; the message is the line
    exit 1      something is not there, does not answer, or a check failed
    exit 2      a bad option or setting
    exit 70     a bug of ours
    exit 130    Ctrl-C
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from pydantic import ValidationError
from typer import TyperException

from agents.secrets import BadSecretFile
from deploy.embedded import EmbeddedError
from deploy.supervisor import ChildDied
from loadtest.clients import NoSuchTopic, Refused, Unreachable
from loadtest.errors import LoadtestError
from sinks.ledger.errors import LedgerError
from tables.rows import UnreadableRow
from topics.admin import TopicMismatch
from topics.cluster import BadCertificateFile

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_BUG: Final = 70
EXIT_INTERRUPTED: Final = 130


class UserError(Exception):
    """Something the user can put right; the message says what."""


_PLAIN: Final = (
    UserError,
    EmbeddedError,
    ChildDied,
    Unreachable,
    Refused,
    BadCertificateFile,
    BadSecretFile,
    NoSuchTopic,
    LoadtestError,
    LedgerError,
    TopicMismatch,
    UnreadableRow,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What to print and how to exit; `details` are further lines, such as the end of a log."""

    line: str
    code: int
    details: tuple[str, ...] = ()


def explain(error: BaseException) -> Failure:
    """The failure in the user's words."""
    if isinstance(error, ChildDied):
        return Failure(_one_line(error), EXIT_FAILED, tuple(error.tail))
    line, code = _line_and_code(error)
    return Failure(line, code)


def _line_and_code(error: BaseException) -> tuple[str, int]:
    match error:
        case TyperException():
            return error.format_message(), error.exit_code
        case ValidationError():
            return _bad_setting(error), EXIT_USAGE
        case _ if isinstance(error, _PLAIN):
            return _one_line(error), EXIT_FAILED
        case KafkaError() | KafkaException():
            return f"Kafka: {_one_line(error)}", EXIT_FAILED
        case KeyboardInterrupt():
            return "", EXIT_INTERRUPTED
    name = type(error).__name__
    return f"internal error: {name}: {_one_line(error)} (run with --debug for details)", EXIT_BUG


def _bad_setting(error: ValidationError) -> str:
    """The variables at fault, each with what is wrong."""
    found = []
    for detail in error.errors(include_url=False):
        if not detail["loc"]:  # about several settings: the message names one, and the input is all of them
            found.append(detail["msg"])
            continue
        variable = "OTB_" + "_".join(str(part) for part in detail["loc"]).upper()
        shown = "" if variable.endswith(("_PASSWORD", "_DSN")) else f"={detail['input']}"
        found.append(f"{variable}{shown}: {detail['msg'][:1].lower()}{detail['msg'][1:]}")
    return "; ".join(found)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
