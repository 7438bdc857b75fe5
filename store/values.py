"""Python values -> the text in which ClickHouse takes query parameters (escaped TSV) and SQL literals."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from uuid import UUID

from store.interface import StoreRejected

_ESCAPES = str.maketrans(
    {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", "\b": "\\b", "\f": "\\f", "'": "\\'"}
)


def parameter_text(value: object) -> str:
    """`value` as ClickHouse wants the parameter `param_name`.

    Raises:
        StoreRejected: a value of a kind that has no text here.
    """
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | UUID):
        return str(value)
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC)
        return moment.strftime("%Y-%m-%d %H:%M:%S") + (f".{moment.microsecond:06d}" if moment.microsecond else "")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_nested(key)}: {_nested(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(_nested(item) for item in value) + ")"
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return "[" + ", ".join(_nested(item) for item in value) + "]"
    raise StoreRejected(f"a parameter cannot be of type {type(value).__name__}")


def _nested(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.translate(_ESCAPES) + "'"
    text = _plain(value)
    return f"'{text}'" if isinstance(value, datetime | date | UUID) else text
