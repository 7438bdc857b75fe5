"""Rows <-> ClickHouse's Native format, by the column code of clickhouse-driver: in all stores the same values.

Comes in: rows as dicts and the table's column types, or an answer in Native. Goes out: bytes, or dicts.
"""

import io
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import accumulate, chain
from typing import Any
from uuid import UUID

import numpy as np
from clickhouse_driver import errors
from clickhouse_driver.bufferedreader import BufferedSocketReader
from clickhouse_driver.bufferedwriter import BufferedSocketWriter
from clickhouse_driver.columns.service import write_column
from clickhouse_driver.columns.util import get_inner_columns_with_types, get_inner_spec
from clickhouse_driver.context import Context
from clickhouse_driver.streams.native import BlockInputStream
from clickhouse_driver.varint import write_varint

from store.collector import collector_waiting
from store.columns import Columns, values_of
from store.interface import Row, StoreRejected, StoreUnavailable
from store.packing import pack

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BUFFER = 1 << 20

Converter = Callable[[Any], Any]
Types = Sequence[tuple[str, str]]
"""(column name, ClickHouse type)"""


class _PlainNative:
    """Server information that makes the driver write what files and HTTP carry: Native without block info."""

    used_revision = 0

    @staticmethod
    def get_timezone() -> str:
        return "UTC"


class _Sink:
    """What the driver's writer needs of a socket."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.parts.append(bytes(data))


class _Source:
    """What the driver's reader needs of a socket."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)
        self._size = len(data)

    def recv_into(self, buffer: bytearray) -> int:
        return self._stream.readinto(buffer)

    @property
    def drained(self) -> bool:
        return self._stream.tell() == self._size


def _context() -> Context:
    context = Context()
    context.server_info = _PlainNative()
    context.client_settings = {"strings_as_bytes": False, "use_numpy": False, "strings_encoding": "utf-8"}
    context.settings = {}
    return context


def _ticks(scale: int) -> Converter:
    """datetime -> whole ticks of DateTime64(scale), rounded down; naive means UTC. Integers pass as ticks."""
    per_second = 10**scale
    divisor, factor = 10 ** max(0, 6 - scale), 10 ** max(0, scale - 6)

    def convert(value: Any) -> Any:
        if isinstance(value, datetime):
            since = (value if value.tzinfo is not None else value.replace(tzinfo=UTC)) - _EPOCH
            seconds = since.days * 86_400 + since.seconds
            return seconds * per_second + since.microseconds // divisor * factor
        return value

    return convert


def _inner(spec: str, name: str) -> str:
    inner: str = get_inner_spec(name, spec)
    return inner


def _milliseconds(values: Sequence[Any]) -> bytes | None:
    """A whole column of aware datetimes as DateTime64(3), rounded down; None: they are of another kind, go by value."""
    if set(map(type, values)) != {datetime}:
        return None
    try:
        passed = [value - _EPOCH for value in values]
    except TypeError:  # one is naive
        return None
    days = np.array([one.days for one in passed], "<i8")
    seconds = np.array([one.seconds for one in passed], "<i8")
    microseconds = np.array([one.microseconds for one in passed], "<i8")
    return bytes(((days * 86_400 + seconds) * 1000 + microseconds // 1000).tobytes())


def _scale(spec: str) -> int | None:
    """Digits after the second of a DateTime64, None for other types."""
    return int(spec[11 : spec.index(")")].split(",")[0]) if spec.startswith("DateTime64(") else None


def writer_for(spec: str) -> Converter | None:
    """How a value of our rows becomes what the driver's column takes; None: as it is."""
    if (scale := _scale(spec)) is not None:
        return _ticks(scale)
    if spec.startswith("DateTime"):
        return _ticks(0)
    if spec.startswith("Nullable("):
        return _optional(writer_for(_inner(spec, "Nullable")))
    if spec.startswith("Array("):
        return _each(writer_for(_inner(spec, "Array")))
    if spec.startswith("Tuple("):
        return _tuple_writer(get_inner_columns_with_types(_inner(spec, "Tuple")))
    return None


def _tuple_writer(parts: Types) -> Converter:
    """dict or tuple -> tuple; a tuple whose parts need nothing passes as it is."""
    names = [name for name, _ in parts]
    found = [writer_for(kind) for _, kind in parts]
    if not any(found):
        return lambda value: tuple([value[name] for name in names]) if isinstance(value, dict) else value
    inners = [inner or _same for inner in found]

    def convert(value: Any) -> Any:
        values = [value[name] for name in names] if isinstance(value, dict) else value
        return tuple([inner(one) for inner, one in zip(inners, values, strict=True)])

    return convert


def reader_for(spec: str, zone: tzinfo = UTC) -> Converter | None:
    """How a value of the driver becomes ours: UUID -> str, named tuple -> dict, naive time of `zone` -> UTC;
    None: as it is."""
    if spec == "UUID":
        return str
    if spec == "DateTime" or (spec.startswith("DateTime64(") and "'" not in spec):
        return lambda value: value.replace(tzinfo=zone).astimezone(UTC)
    for wrapper in ("Nullable", "LowCardinality"):
        if spec.startswith(f"{wrapper}("):
            return _optional(reader_for(_inner(spec, wrapper), zone))
    if spec.startswith("Array("):
        return _each(reader_for(_inner(spec, "Array"), zone))
    if spec.startswith("Tuple("):
        parts = get_inner_columns_with_types(_inner(spec, "Tuple"))
        inners = [reader_for(kind, zone) or _same for _, kind in parts]
        if not all(name for name, _ in parts):
            return lambda value: tuple(inner(one) for inner, one in zip(inners, value, strict=True))
        names = [name.strip("`") for name, _ in parts]
        return lambda value: {n: inner(one) for n, inner, one in zip(names, inners, value, strict=True)}
    return None


def _same(value: Any) -> Any:
    return value


def _optional(inner: Converter | None) -> Converter | None:
    return None if inner is None else (lambda value: None if value is None else inner(value))


def _each(inner: Converter | None) -> Converter | None:
    return None if inner is None else (lambda value: [inner(one) for one in value])


def columns_of(table: str, types: Types, rows: Sequence[Row]) -> list[list[Any]]:
    """`rows` as columns, each value as the driver's column of that type takes it.

    Raises:
        StoreRejected: a value cannot be converted; `column` and `row` say which.
    """
    columns = []
    held = rows.columns if isinstance(rows, Columns) else None
    for name, spec in types:
        values: list[Any] = values_of(held[name]) if held else [row[name] for row in rows]
        convert = writer_for(spec)
        if convert is not None:
            try:
                values = [convert(value) for value in values]
            except (TypeError, ValueError, KeyError, OverflowError):
                number = _first_bad(convert, values)
                shown = repr(values[number])[:80]
                raise StoreRejected(f"{table}.{name}: {shown} is no {spec}", column=name, row=number) from None
        columns.append(values)
    return columns


def _first_bad(convert: Converter, values: Sequence[Any]) -> int:
    for number, value in enumerate(values):
        try:
            convert(value)
        except (TypeError, ValueError, KeyError, OverflowError):
            return number
    return 0


_WRITE_ERRORS = (errors.Error, struct.error, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


def bad_value(table: str, types: Types, columns: Sequence[Sequence[Any]], error: Exception) -> StoreRejected:
    """Find the value that the driver could not write, one by one, and say which it is."""
    context = _context()
    for (name, spec), values in zip(types, columns, strict=True):
        for number, value in enumerate(values):
            try:
                write_column(context, name, spec, [value], BufferedSocketWriter(_Sink(), 4096))
            except _WRITE_ERRORS:
                shown = repr(value)[:80]
                return StoreRejected(f"{table}.{name}: {shown} is no {spec}", column=name, row=number)
    return StoreRejected(f"{table}: {error}")


def encode(table: str, types: Types, rows: Sequence[Row]) -> list[bytes]:
    """`rows` as one Native block, in pieces.

    Raises:
        StoreRejected: a value does not fit its column; `column` and `row` say which.
    """
    with collector_waiting():
        sink = _Sink()
        try:
            _write_block(types, rows, sink)
        except _WRITE_ERRORS as error:
            raise _bad_row(table, types, rows, error) from None
        return sink.parts


def _bad_row(table: str, types: Types, rows: Sequence[Row], error: Exception) -> StoreRejected:
    """Find the value that could not be written, one by one, and say which it is."""
    context = _context()
    for name, spec in types:
        for number, row in enumerate(rows):
            try:
                _write(context, name, spec, [row[name]], BufferedSocketWriter(_Sink(), 4096))
            except _WRITE_ERRORS:
                shown = repr(row[name])[:80]
                return StoreRejected(f"{table}.{name}: {shown} is no {spec}", column=name, row=number)
    return StoreRejected(f"{table}: {error}")


def _write_block(types: Types, rows: Sequence[Row], sink: _Sink) -> None:
    buffer, context = BufferedSocketWriter(sink, _BUFFER), _context()
    write_varint(len(types), buffer)
    write_varint(len(rows), buffer)
    held = rows.columns if isinstance(rows, Columns) else None
    for name, spec in types:
        buffer.write_strings((name, spec), encoding="utf-8")
        packed = pack(spec, held[name]) if held else None
        if packed is not None:
            # beside the buffer: a block's pictures are not copied into it
            buffer.flush()
            sink.parts.append(packed)
        else:
            values = values_of(held[name]) if held else [row[name] for row in rows]
            _write(context, name, spec, values, buffer)
    buffer.flush()


def _write(context: Context, name: str, spec: str, values: Sequence[Any], buffer: BufferedSocketWriter) -> None:
    """One column. Tuples and arrays of them go part by part, each part a column: half the time of doing so by value
    (measured)."""
    packed = None
    if _scale(spec) == 3:
        packed = _milliseconds(values)
    elif spec == "UUID":
        packed = _uuids(values)
    if packed is not None:
        buffer.write(packed)
        return
    if spec.startswith("Array(Tuple("):
        flat = list(chain.from_iterable(values))
        if set(map(type, flat)) <= {tuple}:
            buffer.write(struct.pack(f"<{len(values)}Q", *accumulate(map(len, values))))
            _write_parts(context, name, _inner(spec, "Array"), flat, buffer)
            return
    elif spec.startswith("Tuple(") and set(map(type, values)) <= {tuple}:
        _write_parts(context, name, spec, values, buffer)
        return
    convert = writer_for(spec)
    if convert is not None:
        values = [convert(value) for value in values]
    # a copy where it is not ours: the driver changes the lists that it writes
    write_column(context, name, spec, list(values), buffer)


def _uuids(values: Sequence[Any]) -> bytes | None:
    """UUIDs of one kind, all objects or all canonical text, as ClickHouse keeps them: two little-endian halves each;
    None: of another kind, go by value."""
    kinds = set(map(type, values))
    if kinds == {UUID}:
        data = b"".join([value.bytes for value in values])
    elif kinds == {str} and set(map(len, values)) == {36}:
        try:
            data = bytes.fromhex("".join(values).replace("-", ""))
        except ValueError:
            return None
    else:
        return None
    return np.frombuffer(data, ">u8").astype("<u8").tobytes() if len(data) == 16 * len(values) else None


def _write_parts(context: Context, name: str, spec: str, values: Sequence[Any], buffer: BufferedSocketWriter) -> None:
    parts = get_inner_columns_with_types(_inner(spec, "Tuple"))
    if not set(map(len, values)) <= {len(parts)}:
        raise ValueError(f"{name}: want tuples of {len(parts)}")
    for at, (_, kind) in enumerate(parts):
        _write(context, name, kind, [value[at] for value in values], buffer)


def to_dicts(types: Types, columns: Sequence[Sequence[Any]], zone: tzinfo = UTC) -> list[dict[str, object]]:
    """Columns as the driver gives them to rows as ours; `zone`: of times whose type names none."""
    names = [name for name, _ in types]
    converted: list[Sequence[Any]] = []
    for (_, spec), values in zip(types, columns, strict=True):
        convert = reader_for(spec, zone)
        converted.append(values if convert is None else [convert(value) for value in values])
    return [dict(zip(names, values, strict=True)) for values in zip(*converted, strict=True)]


def decode(data: bytes) -> list[dict[str, object]]:
    """Any number of Native blocks to rows.

    Raises:
        StoreRejected: a column's type is not known to clickhouse-driver; ask with `query_raw` then.
        StoreUnavailable: the data end in the middle of a block.
    """
    source = _Source(data)
    reader = BufferedSocketReader(source, _BUFFER)
    stream = BlockInputStream(reader, _context())
    rows: list[dict[str, object]] = []
    while not (source.drained and reader.position == reader.current_buffer_size):
        try:
            block = stream.read()
        except EOFError:
            raise StoreUnavailable("the answer was cut off") from None
        except (errors.UnknownTypeError, NotImplementedError) as error:
            raise StoreRejected(f"a column of the answer cannot be turned to Python ({error}): use query_raw") from None
        if block.num_rows:
            rows.extend(to_dicts(block.columns_with_types, block.get_columns()))
    return rows
