"""Columns -> ClickHouse's Native format, a column at a time by numpy and joined text: no value is looked at twice.

What is here are the types of the tables into which a fleet pours rows; `native` writes all else by the driver.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from store.columns import Column, Parts, Ragged

_NUMBER = re.compile(r"(U?Int|Float)(8|16|32|64)\Z")
_LETTER = {"UInt": "u", "Int": "i", "Float": "f"}
_TIME = re.compile(r"DateTime64\(3[,)]")
_ONE_BYTE = 128
"""A shorter text has its length in one byte."""
_LENGTHS = [chr(length) for length in range(_ONE_BYTE)]
_DICTIONARY = 1 << 9 | 1 << 10
"""A LowCardinality block brings its own keys, and they are all that there are."""

Types = Sequence[tuple[str, str]]


def pack(spec: str, column: Column) -> bytes | None:
    """`column` as Native's column of type `spec`; None: not of a form or type that this module knows.

    Raises:
        ValueError, TypeError: a value is not what the form says.
    """
    if isinstance(column, Ragged):
        items = pack(spec[6:-1], column.items) if spec.startswith("Array(") else None
        return None if items is None else bytes(column.ends.astype("<u8").tobytes()) + items
    if isinstance(column, Parts):
        return _tuples(spec, column)
    if isinstance(column, list):
        if spec == "String":
            return _texts(column)
        return _dictionary(column) if spec == "LowCardinality(String)" else None
    if spec == "UUID" and column.ndim == 2:
        return bytes(column.astype("<u8").tobytes())
    if spec.startswith("Nullable(") and column.dtype.kind == "f":
        values = pack(spec[9:-1], np.nan_to_num(column, nan=0.0))
        return None if values is None else bytes(np.isnan(column).tobytes()) + values
    return _numbers(spec, column)


def _numbers(spec: str, column: Any) -> bytes | None:
    if _TIME.match(spec):
        spec = "Int64"
    found = _NUMBER.match(spec)
    if not found or column.ndim != 1:
        return None
    wanted = np.dtype(f"<{_LETTER[found[1]]}{int(found[2]) // 8}")
    # a float may lose digits, a whole number none
    if wanted != column.dtype and not wanted.kind == column.dtype.kind == "f":
        return None
    return bytes(column.astype(wanted).tobytes())


def _tuples(spec: str, column: Parts) -> bytes | None:
    if not spec.startswith("Tuple("):
        return None
    kinds = [part.rpartition(" ")[2] if "(" not in part else part.partition(" ")[2] for part in _split(spec[6:-1])]
    if len(kinds) != len(column.columns):
        return None
    packed = [pack(kind, part) for kind, part in zip(kinds, column.columns, strict=True)]
    return None if None in packed else b"".join(part for part in packed if part is not None)


def _split(text: str) -> list[str]:
    """The parts of a tuple's type, without the commas inside of theirs."""
    parts, depth, begin = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append(text[begin:place].strip())
            begin = place + 1
    return [*parts, text[begin:].strip()]


def _texts(values: list[Any]) -> bytes | None:
    kinds = set(map(type, values))
    if kinds == {str}:
        if max(map(len, values)) < _ONE_BYTE:
            joined = "".join([_LENGTHS[len(value)] + value for value in values])
            if joined.isascii():
                return joined.encode()
        values = [value.encode() for value in values]
    elif kinds - {bytes}:
        return None
    return b"".join([part for value in values for part in (_varint(len(value)), value)])


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= _ONE_BYTE:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _dictionary(values: list[Any]) -> bytes | None:
    if not values:
        return b""
    keys = list(dict.fromkeys(values))
    texts = _texts(keys)
    if texts is None:
        return None
    place = {key: number for number, key in enumerate(keys)}
    width = 0 if len(keys) <= 1 << 8 else 1 if len(keys) <= 1 << 16 else 2
    indices = np.fromiter(map(place.__getitem__, values), f"<u{1 << width}", len(values))
    head = np.array([1, _DICTIONARY | width, len(keys)], "<i8").tobytes()
    return b"".join([head, texts, np.array([len(values)], "<i8").tobytes(), indices.tobytes()])
