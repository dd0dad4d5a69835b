"""A user's mistake is one line on stderr and a non-zero exit; nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from deploy.cli.app import GROUPS, build

COMMANDS = ("up", "worker", "sink", "simulate", "tail", "account", "trial-balance", "reconcile", "demo")
NOWHERE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def nothing_running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No servers to be found, and no setting inherited."""
    for name in ("OTB_KAFKA", "OTB_POSTGRES_DSN", "OTB_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTB_HOME", str(tmp_path))


def otb(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments))


def assert_one_line(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("otb: ")
    for word in words:
        assert word in lines[0]


def test_help_lists_every_command() -> None:
    result = otb("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = otb(command, "--help")
    assert result.exit_code == 0
    assert f"otb {command}" in result.stdout


def test_an_unknown_command() -> None:
    assert_one_line(otb("frobnicate"), 2, "frobnicate")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("simulate", "--rate", "-1"), "--rate"),
        (("simulate", "--accounts", "none"), "--accounts"),
        (("simulate", "--seconds"), "--seconds"),
        (("tail",), "topic"),
        (("tail", "clock", "--limit", "0"), "--limit"),
        (("reconcile", "--frob"), "--frob"),
    ],
)
def test_a_bad_option_is_named(arguments: tuple[str, ...], word: str) -> None:
    result = otb(*arguments)
    assert_one_line(result, 2)
    assert word in result.stderr.lower()


@pytest.mark.parametrize(
    "command", [("reconcile",), ("trial-balance",), ("tail", "clock"), ("account", "a"), ("simulate",)]
)
def test_no_running_servers(command: tuple[str, ...]) -> None:
    assert_one_line(otb(*command), 1, "otb up", "OTB_KAFKA")


@pytest.mark.usefixtures("impatient")
def test_no_kafka_at_the_given_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTB_KAFKA", NOWHERE)
    assert_one_line(otb("tail", "clock"), 1, NOWHERE)


@pytest.mark.usefixtures("impatient")
def test_no_postgres_at_the_given_address_and_no_password_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTB_POSTGRES_DSN", f"postgresql://otb:hunter2@{NOWHERE}/ledger")
    result = otb("trial-balance")
    assert_one_line(result, 1, NOWHERE)
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    ("variable", "value"), [("OTB_PARTITIONS", "many"), ("OTB_MAX_SLICE", "0"), ("OTB_APP_ID", "No Good")]
)
def test_a_bad_setting_names_its_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    assert_one_line(otb("tail", "clock"), 2, f"{variable}={value}")


def test_several_bad_settings_share_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTB_PARTITIONS", "0")
    monkeypatch.setenv("OTB_HOLD_DAYS", "61")
    assert_one_line(otb("up"), 2, "OTB_PARTITIONS=0", "OTB_HOLD_DAYS=61")


def test_a_home_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OTB_HOME", str(tmp_path / "file"))
    assert_one_line(otb("up"), 1, "OTB_HOME")


@pytest.mark.parametrize("how", [("--debug",), ()])
def test_debug_shows_the_trace(monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]) -> None:
    monkeypatch.setenv("OTB_DEBUG", "0" if how else "1")
    result = otb(*how, "reconcile")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("otb: ")


@pytest.mark.parametrize(("command", "unused"), [("", {"faust"}), ("sink", {"faust", "numpy", "hdrh"})])
def test_a_command_is_quick_to_answer_and_loads_nothing_that_it_does_not_use(command: str, unused: set[str]) -> None:
    program = f"import sys; from deploy.cli.app import build; build({command!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "typer" in loaded.stdout.split()
    assert unused & set(loaded.stdout.split()) == set()


def test_a_command_is_looked_for_in_the_module_that_has_it() -> None:
    def names(command: str) -> set[str]:
        return set(typer.main.get_group(build(command)).commands)

    assert names("") == {command for commands in GROUPS.values() for command in commands}
    for commands in GROUPS.values():
        assert [names(command) for command in commands] == [set(commands)] * len(commands)
    assert names("frobnicate") == names("")
