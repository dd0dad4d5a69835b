"""Reads a scenario file: YAML with one step a line, what is sent left of `expect`, what must come of it from there on.

Whatever is wrong with a file is a ScenarioError that names the file, the step and the key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import yaml

from models.messages import AccountOpened
from models.money import exponent
from tests.support.scenario import values
from tests.support.scenario.expecting import AFTER, after, expected
from tests.support.scenario.sending import VERBS, build, field_of, hints
from tests.support.scenario.story import AccountHeader, BadKey, Issuer, Said, Scenario, ScenarioError, Step

START: Final = "2026-03-02 09:00"
"""Local time of the first moment, if the file names no other."""
_HEADER: Final = ("title", "source", "account", "start", "issuer", "model", "steps")
_ACCOUNT: Final = ("id", "card", "expiry", "limit", "currency", "zone", "country")
_OF_SLICE: Final = ("score", "model", "worker", "waited")
_NO_FIELDS: Final = ("at", "do", "step", "times", "literal", *_OF_SLICE)
_MOST_TIMES: Final = 1000
T = TypeVar("T")


def load(path: Path) -> Scenario:
    """The scenario in `path`; raises ScenarioError."""
    try:
        content, lines = _document(path.read_text(encoding="utf-8"))
        return _Reader(content, lines).read(path.stem)
    except (_Wrong, BadKey) as wrong:
        raise ScenarioError(f"{path.name}: {wrong}") from None


class _Wrong(ValueError):
    """What is wrong, and where in the file."""


# -- YAML


class _Loader(yaml.BaseLoader):  # type: ignore[misc]
    """All scalars are text; a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _value in node.value:
            if key.value in seen:
                raise _Wrong(f"line {key.start_mark.line + 1}: {key.value}: stands twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


def _document(text: str) -> tuple[Any, list[list[str]]]:
    """The file's content, and for each step the lines on which its messages stand."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        steps = _value(node, "steps")
        items = steps.value if isinstance(steps, yaml.SequenceNode) else []
        lines = [_message_lines(number, step, text.splitlines()) for number, step in enumerate(items, 1)]
        return loader.construct_document(node) if node else None, lines
    except yaml.MarkedYAMLError as error:
        raise _Wrong(f"line {error.problem_mark.line + 1}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise _Wrong(" ".join(str(error).split())) from None


def _message_lines(number: int, step: Any, lines: list[str]) -> list[str]:
    together = _value(step, "together")
    nodes = together.value if isinstance(together, yaml.SequenceNode) else [step]
    if any(node.start_mark.line != node.end_mark.line for node in nodes):
        raise _Wrong(f"step {number}: a message and what is expected of it stand on ONE line")
    return [lines[node.start_mark.line][node.start_mark.column : node.end_mark.column] for node in nodes]


def _value(mapping: Any, key: str) -> Any:
    pairs = mapping.value if isinstance(mapping, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


# -- what the YAML means


class _Reader:
    """Turns the file's mappings into a Scenario."""

    def __init__(self, content: Any, lines: list[list[str]]) -> None:
        if not isinstance(content, dict):
            raise _Wrong("is no mapping with title, source, account and steps")
        self._content = content
        self._lines = lines
        self._account = AccountHeader()
        self._zone = ZoneInfo("Etc/UTC")
        self._start = 0
        self._exists = True
        self._said: dict[str, dict[str, Any]] = {}  # label -> what was sent, `do` included

    def read(self, name: str) -> Scenario:
        content = self._content
        _known(content, _HEADER, "the header")
        for key in ("title", "source", "account", "steps"):
            if not content.get(key):
                raise BadKey(key, "is missing in the header")
        self._account = _account(content["account"])
        self._exists = self._account.opened
        self._zone = ZoneInfo(self._account.zone)
        self._start = _read("start", lambda: values.moment(content.get("start", START), 0, self._zone))
        if not isinstance(content["steps"], list):
            raise BadKey("steps", "wants a list")
        has_model = content.get("model", "scripted")
        if has_model not in ("scripted", "none"):
            raise BadKey("model", f"{has_model!r} is neither scripted nor none")
        return Scenario(
            name, content["title"], content["source"], self._account, self._start,
            _issuer(content.get("issuer", {}), self._account.currency), has_model == "scripted",
            tuple(self._step(number, step) for number, step in enumerate(content["steps"], 1)),
        )  # fmt: skip

    def _step(self, number: int, given: Any) -> Step:
        try:
            if not isinstance(given, dict):
                raise _Wrong("is no mapping")
            return self._together(number, given) if "together" in given else self._single(number, given)
        except (_Wrong, BadKey) as wrong:
            raise _Wrong(f"step {number}: {wrong}") from None

    def _single(self, number: int, given: dict[str, Any]) -> Step:
        sent, right = _sides(given)
        outcome = {key: value for key, value in right.items() if key not in AFTER}
        said = self._messages(str(number), sent, outcome, self._lines[number - 1][0])
        return self._finish(number, said, sent, right)

    def _together(self, number: int, given: dict[str, Any]) -> Step:
        _known(given, ("at", "together", *_OF_SLICE, *AFTER), "a step with `together`")
        if not isinstance(given["together"], list) or not given["together"]:
            raise BadKey("together", "wants a list of messages")
        said: list[Said] = []
        for index, message in enumerate(given["together"], 1):
            if not isinstance(message, dict):
                raise BadKey("together", f"message {index} is no mapping")
            sent, outcome = _sides(message)
            _not_of_step(message)
            sent = {key: given[key] for key in ("at",) if key in given} | sent
            said += self._messages(f"{number}.{index}", sent, outcome, self._lines[number - 1][index - 1])
        return self._finish(number, said, given, given)

    def _finish(self, number: int, said: list[Said], slice_: Mapping[str, Any], right: Mapping[str, Any]) -> Step:
        opened = any(type(one.message) is AccountOpened and one.expected.outcome == "applied" for one in said)
        self._exists = self._exists or opened
        score, model = slice_.get("score"), slice_.get("model", "up")
        if model not in ("up", "down"):
            raise BadKey("model", f"{model!r} is neither up nor down")
        return Step(
            number, tuple(said), after({key: right[key] for key in AFTER if key in right}, self._account.currency,
            self._exists), None if score is None else _read("score", lambda: values.whole(score)), model == "down",
            _read("worker", lambda: values.whole(slice_.get("worker", "1"))),
            _read("waited", lambda: values.duration(slice_.get("waited", "0s"))),
        )  # fmt: skip

    def _messages(self, label: str, sent: dict[str, Any], outcome: dict[str, Any], line: str) -> list[Said]:
        """The message of a line, or as many as `times` says."""
        if sent.get("do") == "repeat":
            sent = self._repeated(sent)
        do = sent.get("do")
        if not isinstance(do, str) or do not in VERBS:
            raise BadKey("do", f"{do!r} is none of repeat, {', '.join(VERBS)}")
        times = _read("times", lambda: values.whole(sent.get("times", "1")))
        if not 1 <= times <= _MOST_TIMES:
            raise BadKey("times", f"is not between 1 and {_MOST_TIMES}")
        if times > 1 and "#" not in sent.get("id", ""):
            raise BadKey("id", "wants a # for the number of the message, because of `times`")
        copies = [(label, sent)] if times == 1 else [(f"{label}#{n}", _numbered(sent, n)) for n in range(1, times + 1)]
        said = [self._message(own, do, copy, outcome, line) for own, copy in copies]
        self._said |= dict(copies) | {label: sent}
        return said

    def _message(self, label: str, do: str, sent: dict[str, Any], outcome: dict[str, Any], line: str) -> Said:
        if "at" not in sent:
            raise BadKey("at", "is missing")
        at = _read("at", lambda: values.moment(sent["at"], self._start, self._zone))
        if "step" in sent:
            raise BadKey("step", "only goes with `do: repeat`")
        literal = sent.get("literal", {})
        _known(literal, tuple(hints(VERBS[do].message)), "literal")
        content = {key: value for key, value in sent.items() if key not in _NO_FIELDS}
        code_from = None
        if str(content.get("code", "")).startswith("from "):
            code_from = self._earlier("code", content.pop("code").removeprefix("from "))
        message = build(do, content, self._account, at, label, literal)
        expected_ = expected(do, outcome, self._account.currency, self._said)
        return Said(label, line, message, expected_, literal, code_from)

    def _repeated(self, sent: dict[str, Any]) -> dict[str, Any]:
        """The message of an earlier step, with what this one changes."""
        if "step" not in sent:
            raise BadKey("step", "is missing: `repeat` says the message of which step")
        earlier = self._said[self._earlier("step", sent["step"])]
        do = earlier["do"]
        changes = {key: value for key, value in sent.items() if key not in ("do", "step")}
        replaced = {field_of(do, key) for key in changes if key not in _NO_FIELDS}
        kept = {k: v for k, v in earlier.items() if k in _NO_FIELDS or field_of(do, k) not in replaced}
        return {k: v for k, v in kept.items() if k not in (*_OF_SLICE, "times")} | changes

    def _earlier(self, key: str, label: str) -> str:
        if label not in self._said:
            raise BadKey(key, f"there is no earlier step {label!r}")
        return label


def _account(given: Any) -> AccountHeader:
    plain = AccountHeader()
    if given == "none":
        return AccountHeader(opened=False)
    _known(given, _ACCOUNT, "account")
    if "limit" not in given:
        raise BadKey("account: limit", "is missing")
    currency, zone = given.get("currency", plain.currency), given.get("zone", plain.zone)
    _read("account: currency", lambda: exponent(currency))
    _read("account: zone", lambda: _zone(zone))
    return AccountHeader(
        given.get("id", plain.account_id), given.get("card", plain.card),
        _read("account: expiry", lambda: values.expiry(given.get("expiry", "2030-12"))),
        _read("account: limit", lambda: values.amount(given["limit"], currency)),
        currency, zone, given.get("country", plain.country),
    )  # fmt: skip


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone") from None


def _issuer(given: Any, currency: str) -> Issuer:
    _known(given, ("fraud-cut", "stand-in-limit", "hold-life", "shed-after"), "issuer")
    readers: dict[str, Callable[[str], int]] = {
        "fraud-cut": values.whole,
        "stand-in-limit": lambda text: values.amount(text, currency),
        "hold-life": values.duration,
        "shed-after": values.duration,
    }
    settings = {key: _read(f"issuer: {key}", partial(readers[key], given[key])) for key in given}
    return Issuer(**{key.replace("-", "_"): value for key, value in settings.items()})


def _sides(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is sent: the keys left of `expect`; what must come of it: `expect` and the keys right of it."""
    keys = list(given)
    if "expect" not in keys:
        raise BadKey("expect", "is missing: every message says what must come of it")
    at = keys.index("expect")
    return {key: given[key] for key in keys[:at]}, {key: given[key] for key in keys[at:]}


def _not_of_step(message: Mapping[str, Any]) -> None:
    for key in (*_OF_SLICE, *AFTER):
        if key in message:
            raise BadKey(key, "belongs to the step, beside `together`")


def _known(given: Any, known: Collection[str], where: str) -> None:
    if not isinstance(given, dict):
        raise BadKey(where, "is no mapping")
    for key in given:
        if key not in known:
            raise BadKey(key, f"is unknown in {where}; known are {', '.join(known)}")


def _read(key: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except BadKey:
        raise
    except (ValueError, TypeError) as error:
        raise BadKey(key, str(error)) from None


def _numbered(sent: Mapping[str, Any], number: int) -> dict[str, Any]:
    """One of several alike: each # is its number."""
    return {key: value.replace("#", str(number)) if isinstance(value, str) else value for key, value in sent.items()}
