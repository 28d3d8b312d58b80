"""Arithmetic on the columns of a file, such as `FlowInExUSD - FlowOutExUSD`."""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import TidegateError

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_RULE = "a column, or + - * / and numbers with columns whose names are plain words"


class WrongFormError(TidegateError):
    """A form that is neither a column nor arithmetic on columns."""


@dataclass(frozen=True, slots=True)
class Form:
    """One column of ours in terms of theirs; `names` are the columns it needs."""

    text: str
    names: frozenset[str]
    _tree: ast.expr | None

    @property
    def is_column(self) -> bool:
        """Say whether it is one column as it stands."""
        return self._tree is None

    def value(self, columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the result; NaN where a part is NaN, and never an error on a division by 0."""
        if self._tree is None:
            return columns[self.text]
        with np.errstate(all="ignore"):
            return np.asarray(_value(self._tree, columns), dtype=np.float64)


def parse(text: str) -> Form:
    """Return the form written in `text`; raise `WrongFormError` naming what it may not hold."""
    text = text.strip()
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        tree = None  # no arithmetic: a column whose name has blanks or signs of its own
    if tree is None or isinstance(tree, ast.Name):
        return Form(text, frozenset({text}), None)
    names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    _check(tree, text)
    if not names:
        raise WrongFormError(f"found {text!r}, which names no column, expected {_RULE}")
    return Form(text, names, tree)


def _check(node: ast.expr, text: str) -> None:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left, text)
            _check(right, text)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand, text)
        case ast.Name():
            pass
        case ast.Constant(value=value) if type(value) in {int, float}:
            pass
        case _:
            raise WrongFormError(f"found {ast.unparse(node)} in {text!r}, expected {_RULE}")


def _value(node: ast.expr, columns: Mapping[str, NDArray[np.float64]]) -> Any:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left, columns), _value(right, columns))
        case ast.UnaryOp(operand=operand):
            return -_value(operand, columns)
        case ast.Name(id=name):
            return columns[name]
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case _:
            raise AssertionError(node)
