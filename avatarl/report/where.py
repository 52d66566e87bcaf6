"""The filter language of ``--where``: comparisons over a run's keys, and nothing else.

It is Python's expression grammar, parsed by ``ast`` and interpreted here over a short list of
allowed nodes; nothing is ever evaluated by Python itself.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from avatarl.errors import UserError, did_you_mean
from avatarl.report.identity import full_key

_EXAMPLE = "reward.confidence_weight>0 and reference.name=='ngram4'"
_COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.In: ("in", lambda left, right: left in right),
    ast.NotIn: ("not in", lambda left, right: left not in right),
    ast.Is: ("is", operator.eq),
    ast.IsNot: ("is not", operator.ne),
}
#: Where a filter goes on: longer than any.
_END = 1 << 20
_WORDS = {"true": True, "false": False, "null": None}

_Term = Callable[[Mapping[str, Any]], Any]


class FilterError(UserError):
    """A filter can't be understood; the message says where and what is valid."""


class Filter:
    """A predicate over flat rows.

    Args:
        text: For instance ``reward.confidence_weight>0 and reference.name=="ngram4"``. Keys are
            dotted configuration keys, metrics (``val/nats``) or facts (``state``); a group alone
            means its option's name, a heading its metric (``nats``), and the end of a key will do
            where it is unambiguous.
        known: The keys there are (values are ignored).

    Raises:
        FilterError: A syntax error, something that isn't a comparison, or an unknown key.
    """

    def __init__(self, text: str, known: Mapping[str, Any]) -> None:
        self.text, self._known = text, known
        try:
            # Leading blanks would be an indentation error.
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._error(*_place(error)) from None
        try:
            self._predicate = self._term(tree.body)
        except RecursionError:
            raise self._error("it is nested too deeply") from None

    def __call__(self, row: Mapping[str, Any]) -> bool:
        """Whether the filter keeps ``row``; a comparison with a missing key never holds."""
        return bool(self._predicate(row))

    def _error(self, why: str, place: int | None = None) -> FilterError:
        text = self.text.strip()
        pointed = text if place is None else f"{text[:place]}⟨here⟩{text[place:]}"
        return FilterError(
            f"--where {pointed!r}: {why}; valid: comparisons joined by and, or, not, "
            f"for instance {_EXAMPLE}"
        )

    def _term(self, node: ast.expr) -> _Term:
        if isinstance(node, ast.BoolOp):
            parts = [self._term(value) for value in node.values]
            if isinstance(node.op, ast.And):
                return lambda row: all(part(row) for part in parts)
            return lambda row: any(part(row) for part in parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._term(node.operand)
            return lambda row: not inner(row)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        return self._value(node)

    def _comparison(self, node: ast.Compare) -> _Term:
        values = [self._value(value) for value in (node.left, *node.comparators)]
        tests = [_COMPARISONS[type(op)] for op in node.ops]

        def holds(row: Mapping[str, Any]) -> bool:
            seen = [value(row) for value in values]
            return all(
                _compare(name, test, left, right)
                for (name, test), left, right in zip(tests, seen, seen[1:], strict=False)
            )

        return holds

    def _value(self, node: ast.expr) -> _Term:
        if isinstance(node, ast.Constant) and isinstance(
            node.value, str | int | float | bool | None
        ):
            constant = node.value
            return lambda row: constant
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            if isinstance(node.operand, ast.Constant) and isinstance(
                node.operand.value, int | float
            ):
                sign = -1 if isinstance(node.op, ast.USub) else 1
                number = sign * node.operand.value
                return lambda row: number
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            parts = [self._value(part) for part in node.elts]
            return lambda row: [part(row) for part in parts]
        name = _dotted(node)
        if name is None:
            raise self._error(f"{ast.unparse(node)!r} isn't allowed", node.col_offset)
        if name in _WORDS:
            word = _WORDS[name]
            return lambda row: word
        key = self._key(name, node.col_offset)
        return lambda row: row.get(key)

    def _key(self, name: str, place: int) -> str:
        if (full := full_key(name, self._known)) in self._known:
            return full
        ends = [key for key in self._known if key.endswith((f".{name}", f"/{name}"))]
        if len(ends) == 1:
            return ends[0]
        if ends:
            raise self._error(f"{name!r} could be any of {', '.join(sorted(ends))}", place)
        near = did_you_mean(name, self._known)
        raise self._error(
            f"no run has the key {name!r}{near} (a word to compare with needs quotes)", place
        )


def _compare(name: str, test: Callable[[Any, Any], Any], left: Any, right: Any) -> bool:
    if name in ("==", "!=", "is", "is not"):
        return bool(test(left, right))
    if left is None or right is None:
        return False
    try:
        return bool(test(left, right))
    except TypeError:
        # A word against a number orders neither way.
        return False


def _dotted(node: ast.expr) -> str | None:
    """Return the key a node spells: ``a.b`` for configuration keys, ``a/b`` for metrics."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = _dotted(node.value)
        return None if left is None else f"{left}.{node.attr}"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = _dotted(node.left), _dotted(node.right)
        return None if left is None or right is None else f"{left}/{right}"
    return None


def _place(error: Exception) -> tuple[str, int | None]:
    if not isinstance(error, SyntaxError):
        return "it can't be read", None
    if not error.offset:
        return "it ends too early", _END
    if error.text is not None and "=" in error.text and "==" not in error.text:
        return "a syntax error (equality is ==)", error.offset - 1
    return f"a syntax error ({error.msg})", error.offset - 1
