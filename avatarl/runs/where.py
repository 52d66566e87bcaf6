"""The filter language of ``--where``, the page and launchers: comparisons over a run's keys alone.

The language is data: :data:`LANGUAGE` says what it is written in and how it binds, and
:func:`spoken_names` what each name means. Whoever reads it (this module, and the page's
``filter.js``, which gets both with its data) has one loop over the levels of binding, and the
comparisons of plain values; a table of cases holds both to the same answers.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from avatarl.errors import UserError, did_you_mean
from avatarl.runs.headings import METRIC_OF

_EXAMPLE = "reward.confidence_weight>0 and reference.name=='ngram4'"
#: The language, as data that travels in the page.
LANGUAGE: dict[str, Any] = {
    # Alternatives of one expression, which Python (ASCII) and JavaScript read alike.
    "tokens": {
        "number": r"(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?",
        "text": r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'",
        "sign": r"not\s+in\b|is\s+not\b|(?:and|or|not|in|is)\b|[<>=!]=|[<>=()\[\]{},+-]",
        "name": r"[A-Za-z_]\w*(?:[./]\w+)*",
    },
    # The loosest first: what a level makes of its parts, and the signs between them.
    "levels": [
        ["any", ["or"]],
        ["all", ["and"]],
        ["not", ["not"]],
        ["compare", ["==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not"]],
    ],
    "brackets": {"(": ")", "[": "]", "{": "}"},
    "constants": {
        "True": True, "False": False, "None": None, "true": True, "false": False, "null": None,
    },
    # Brackets and negations within each other.
    "deepest": 50,
}  # fmt: skip

#: ``[kind, …]``: value (it), key (its name), list (its items), not, any, all (their parts),
#: compare (the parts, the signs between them).
Tree = list[Any]


class FilterError(UserError):
    """A filter can't be understood; the message says where and what is valid."""


class Filter:
    """A predicate over flat rows.

    Args:
        text: For instance ``reward.confidence_weight>0 and reference.name=="ngram4"``.
        known: The keys there are (values are ignored).
        headings: Of the table, by key.
        place: Where it was typed, for errors.

    Raises:
        FilterError: A syntax error, something that isn't a comparison, or an unknown key.
    """

    def __init__(
        self,
        text: str,
        known: Mapping[str, Any],
        headings: Mapping[str, str] | None = None,
        place: str = "--where",
    ) -> None:
        self.text = text
        reader = _Reader(text.strip(), place)
        self._tree = reader.read()
        names = spoken_names(known, headings or {})
        for key, at in reader.keys:
            key[1] = reader.meant(key[1], at, names, known)

    def __call__(self, row: Mapping[str, Any]) -> bool:
        """Whether the filter keeps ``row``; a comparison with a missing key never holds."""
        return bool(_value(self._tree, row))


def spoken_names(known: Iterable[str], headings: Mapping[str, str]) -> dict[str, list[str]]:
    """Return what each name may mean: one key, or several where it is ambiguous.

    A name is a key, else a heading of the table, else a group (its option's name), else a
    metric's short heading, else the end of a key.

    Args:
        known: The keys there are.
        headings: Of the table, by key.
    """
    known = list(dict.fromkeys(known))
    names = {key: [key] for key in known}
    for key, heading in headings.items():
        if key in known:
            names.setdefault(heading, [key])
    for key in known:
        if key.endswith(".name"):
            names.setdefault(key.removesuffix(".name"), [key])
    for heading, metric in METRIC_OF.items():
        if metric in known:
            names.setdefault(heading, [metric])
    ends: dict[str, list[str]] = {}
    for key in known:
        for mark in re.finditer(r"[./]", key):
            ends.setdefault(key[mark.end() :], []).append(key)
    return ends | names


class _Reader:
    """Reads a filter into a tree, level by level; ``keys`` are its names, with their places."""

    def __init__(self, text: str, place: str) -> None:
        self.text, self.place, self.at, self.depth = text, place, 0, 0
        self.keys: list[tuple[Tree, int]] = []
        self.tokens = [*self._tokens(), ("end", "", len(text))]

    def _tokens(self) -> Iterable[tuple[str, str, int]]:
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None or match.lastgroup is None:
                raise self.error(f"a syntax error ({self.text[at]!r} isn't allowed here)", at)
            word = match[match.lastgroup]
            yield match.lastgroup, " ".join(word.split()), match.start(match.lastgroup)
            at = match.end()

    def read(self) -> Tree:
        tree = self._level(0)
        if self.tokens[self.at][0] != "end":
            raise self._unexpected()
        return tree

    def _level(self, depth: int) -> Tree:
        if depth == len(LANGUAGE["levels"]):
            return self._operand()
        kind, signs = LANGUAGE["levels"][depth]
        if kind == "not":
            if not self._takes(signs):
                return self._level(depth + 1)
            return ["not", [self._within(lambda: self._level(depth))]]
        parts, between = [self._level(depth + 1)], []
        while sign := self._takes(signs):
            between.append(sign)
            parts.append(self._level(depth + 1))
        return [kind, parts, between] if between else parts[0]

    def _operand(self) -> Tree:
        kind, word, place = self.tokens[self.at]
        if (opened := self._takes(LANGUAGE["brackets"])) is not None:
            return self._within(lambda: self._bracket(opened))
        if (sign := self._takes("+-")) is not None:
            if self.tokens[self.at][0] != "number":
                raise self._unexpected()
            _, number = self._operand()
            return ["value", -number if sign == "-" else number]
        if kind not in ("number", "text", "name"):
            raise self._unexpected()
        self.at += 1
        if kind == "number":
            return ["value", float(word) if set(word) & set(".eE") else int(word)]
        if kind == "text":
            return ["value", re.sub(r"\\(.)", r"\1", self.text[place + 1 : place + len(word) - 1])]
        if word in LANGUAGE["constants"]:
            return ["value", LANGUAGE["constants"][word]]
        self.keys.append((["key", word], place))
        return self.keys[-1][0]

    def _bracket(self, opened: str) -> Tree:
        close, comma = LANGUAGE["brackets"][opened], None
        parts: list[Tree] = []
        while not self._takes(close):
            if parts and comma is None:
                raise self._unexpected(f"{opened!r} was never closed")
            parts.append(self._level(0))
            comma = self._takes(",")
        if opened == "(" and len(parts) == 1 and comma is None:
            return parts[0]
        return ["list", parts]

    def _within(self, read: Callable[[], Tree]) -> Tree:
        self.depth += 1
        if self.depth > LANGUAGE["deepest"]:
            raise self.error("it is nested too deeply")
        tree = read()
        self.depth -= 1
        return tree

    def _takes(self, signs: Iterable[str]) -> str | None:
        kind, word, _ = self.tokens[self.at]
        if kind != "sign" or word not in signs:
            return None
        self.at += 1
        return word

    def _unexpected(self, unfinished: str = "") -> FilterError:
        kind, word, place = self.tokens[self.at]
        if kind == "end":
            why = f"a syntax error ({unfinished})" if unfinished else "it ends too early"
        elif word == "=":
            why = "a syntax error (equality is ==)"
        else:
            why = f"a syntax error ({word!r} isn't allowed here)"
        return self.error(why, place)

    def meant(
        self, name: str, place: int, names: Mapping[str, list[str]], known: Iterable[str]
    ) -> str:
        """Return the key that a name means.

        Raises:
            FilterError: None, or several.
        """
        meanings = names.get(name, [])
        if len(meanings) == 1:
            return meanings[0]
        if meanings:
            raise self.error(f"{name!r} could be any of {', '.join(sorted(meanings))}", place)
        near = did_you_mean(name, known)
        why = f"no run has the key {name!r}{near} (a word to compare with needs quotes)"
        raise self.error(why, place)

    def error(self, why: str, place: int | None = None) -> FilterError:
        text = self.text
        pointed = text if place is None else f"{text[:place]}⟨here⟩{text[place:]}"
        return FilterError(
            f"{self.place} {pointed!r}: {why}; valid: comparisons joined by and, or, not, "
            f"for instance {_EXAMPLE}"
        )


_TOKEN = re.compile(
    rf"\s*(?:{'|'.join(f'(?P<{kind}>{word})' for kind, word in LANGUAGE['tokens'].items())})",
    re.ASCII,
)


def _value(tree: Tree, row: Mapping[str, Any]) -> Any:
    match tree:
        case ["value", constant]:
            return constant
        case ["key", key]:
            return row.get(key)
        case ["list", parts]:
            return [_value(part, row) for part in parts]
        case ["not", [part]]:
            return not _value(part, row)
        case ["any", parts, _]:
            return any(_value(part, row) for part in parts)
        case ["all", parts, _]:
            return all(_value(part, row) for part in parts)
    _, parts, signs = tree
    seen = [_value(part, row) for part in parts]
    return all(map(_holds, signs, seen, seen[1:]))


_ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def _holds(sign: str, left: Any, right: Any) -> bool:
    if sign in ("==", "is"):
        return bool(left == right)
    if sign in ("!=", "is not"):
        return bool(left != right)
    if sign in _ORDERS:
        # A word against a number orders neither way.
        alike = any(isinstance(left, kind) and isinstance(right, kind) for kind in (str, _NUMBER))
        return alike and bool(_ORDERS[sign](left, right))
    if left is None or not isinstance(right, list if not isinstance(left, str) else (list, str)):
        return False
    return (left in right) is (sign == "in")


_NUMBER = (int, float)
