"""What the code says about itself beyond its types: the comment at the end of a line, and how a type is called."""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple


class Member(NamedTuple):
    """A field of a message or a name of an enumeration, as its line in the source has it."""

    annotation: str  # empty for a name of an enumeration
    comment: str  # empty when there is none


def members(kind: type) -> dict[str, Member]:
    """Member name -> what its line says, in the order of the class body."""
    module = inspect.getmodule(kind)
    if module is None:
        raise ValueError(f"{kind!r} has no module")
    comments = _comments(module)
    return {
        name: Member(annotation, comments.get(line, "")) for name, annotation, line in _lines(module, kind.__name__)
    }


def summary(kind: type) -> str:
    """The docstring as one paragraph."""
    return " ".join((inspect.getdoc(kind) or "").split())


def _comments(module: ModuleType) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(inspect.getsource(module)).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _lines(module: ModuleType, class_name: str) -> Iterator[tuple[str, str, int]]:
    """(name, annotation, line) of the members of a class of the module."""
    for found in ast.parse(inspect.getsource(module)).body:
        if not (isinstance(found, ast.ClassDef) and found.name == class_name):
            continue
        for node in found.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield node.target.id, ast.unparse(node.annotation), node.lineno
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                yield node.targets[0].id, "", node.lineno
