"""The quick way to read a message: msgspec instead of pydantic, for what can be read without doubt.

It takes less than pydantic does, never more, and what it takes it reads alike (a property, and `make fuzz`): a flat
message of a known type, fields in any order, each at most once, none that is unknown, no escape in any string.
Everything else, wrong messages above all, is left to the careful way in `topics/codec.py`, which knows what to say.

The types are derived from the contracts in `models/messages.py`: constraints on numbers and lengths become msgspec's.
Patterns do not, because msgspec matches them one by one, which costs more than all the rest. All strings of a message
are matched at once instead: joined by a separator that no pattern admits. So joined they are also asked whether any can
hold a card number; hardly one can.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from pydantic.fields import FieldInfo

from models import card_numbers
from models.messages import Inbound
from topics import card_fields

_SEPARATOR: Final = "\x1f"
_NOTHING: Final = "\x1e"  # stands for null and for what is not given; neither of the two can be in an unescaped string
_LIMITS: Final = ("ge", "le", "min_length", "max_length")
_TAG: Final = "type"


class NotFlat(TypeError):
    """A message has a field that is more than a string, a number, a truth value, or one of these or null."""


class _Reader(NamedTuple):
    """How one message is made of its fields, `type` left out."""

    message: Callable[..., Inbound]
    tag: str
    defaults: tuple[Any, ...]  # of the fields that may be left out, which are the last ones
    texts: Callable[[tuple[Any, ...]], tuple[Any, ...]]  # those with a pattern
    pattern: re.Pattern[str]


def _limits(hint: Any) -> dict[str, Any]:
    """Constraints of an annotated type, pydantic's `Field` in front of them unpacked."""
    found: dict[str, Any] = {}
    for info in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
        for constraint in info.metadata if isinstance(info, FieldInfo) else [info]:
            for name in (*_LIMITS, "pattern"):
                if getattr(constraint, name, None) is not None:
                    found[name] = getattr(constraint, name)
    return found


def _members(hint: Any) -> Iterable[Any]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _quick_type(hint: Any) -> Any:
    """The type as msgspec checks it; raises NotFlat."""
    members = [_quick_member(member) for member in _members(hint)]
    return Union[tuple(members)]  # noqa: UP007 - the members are values here


def _quick_member(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        limits = {name: limit for name, limit in _limits(hint).items() if name in _LIMITS}
        base = _quick_type(get_args(hint)[0])
        return Annotated[base, msgspec.Meta(**limits)] if limits else base
    if hint in (str, int, bool, types.NoneType) or get_origin(hint) is Literal:
        return hint
    raise NotFlat(hint)


def _pattern(hint: Any) -> str | None:
    """What a string must match, or null, which msgspec refuses where it may not be; None when anything will do."""
    patterns = [_limits(member).get("pattern") for member in _members(hint)]
    known = [pattern.removeprefix("^").removesuffix("$") for pattern in patterns if pattern is not None]
    if not known:
        return None
    return f"(?:{'|'.join([*known, _NOTHING])})"


def _reader(kind: type[Any]) -> tuple[type[msgspec.Struct], _Reader]:
    """The struct that msgspec reads for a message's class, and how the message is made of it; raises NotFlat."""
    hints = get_type_hints(kind, include_extras=True)
    (tag,) = get_args(hints[_TAG])
    fields = [field for field in dataclasses.fields(kind) if field.name != _TAG]
    struct = msgspec.defstruct(
        kind.__name__, [_declaration(field, hints[field.name]) for field in fields], tag_field=_TAG, tag=tag, gc=False
    )
    patterns = {at: pattern for at, field in enumerate(fields) if (pattern := _pattern(hints[field.name]))}
    texts: Callable[[tuple[Any, ...]], Any] = itemgetter(*patterns) if len(patterns) > 1 else _all_of(patterns)
    whole = re.compile(_SEPARATOR.join(patterns.values()))
    defaults = tuple(field.default for field in fields if field.default is not dataclasses.MISSING)
    return struct, _Reader(kind, tag, defaults, texts, whole)


def _declaration(field: dataclasses.Field[Any], hint: Any) -> tuple[Any, ...]:
    """What may be left out is UNSET then, so that it can be counted."""
    if field.default is dataclasses.MISSING:
        return field.name, _quick_type(hint)
    return field.name, _quick_type(hint) | msgspec.UnsetType, msgspec.UNSET


def _all_of(places: Iterable[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """`itemgetter` of one place gives no tuple, and none takes no place at all."""
    wanted = tuple(places)
    return lambda values: tuple(values[at] for at in wanted)


def _readers() -> dict[type[msgspec.Struct], _Reader]:
    found = {}
    for kind in get_args(Inbound):
        try:
            struct, reader = _reader(kind)
        except NotFlat:
            continue
        found[struct] = reader
    return found


_READERS: Final = _readers()
_decoder: Final = msgspec.json.Decoder(Union[tuple(_READERS)])  # noqa: UP007 - as above


def read(value: bytes) -> Inbound | None:
    """The message in a record's value, or None: it has to be read carefully, and may be none."""
    if b"\\" in value:
        return None
    try:
        struct = _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    reader = _READERS[type(struct)]
    fields = msgspec.structs.astuple(struct)
    optional = fields[-len(reader.defaults) :] if reader.defaults else ()
    missing = optional.count(msgspec.UNSET)
    # As many colons as fields: none is unknown, none stands twice, and none is inside a string.
    if value.count(b":") != 1 + len(fields) - missing:
        return None
    if missing:
        fields = fields[: -len(optional)] + tuple(map(_default_for, optional, reader.defaults))
    texts = [_NOTHING if text is None else text for text in reader.texts(fields)]
    text = _SEPARATOR.join(texts)
    if reader.pattern.fullmatch(text) is None:
        return None
    message = reader.message(reader.tag, *fields)
    exposed = card_numbers.may_be_in(text.encode()) and card_fields.hide(message) is not None
    return None if exposed else message


def _default_for(given: Any, default: Any) -> Any:
    return default if given is msgspec.UNSET else given
