"""Bytes <-> messages: frames and dead letters keep metadata in record headers, reads are msgpack, the rest JSON."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from schemas.alert import Alert
from schemas.camera import CameraState
from schemas.dead import DeadLetter
from schemas.frame import FRAME_SCHEMA, FrameHeader
from schemas.hotlist import HotlistEntry, HotlistRules, WrongHit
from schemas.read import ReadsMessage
from schemas.sighting import Sighting

Headers = Sequence[tuple[str, bytes]]
T = TypeVar("T")

ORIGIN_PREFIX = "origin."
_DEAD_PREFIX = "dead."


class SchemaError(ValueError):
    """A message does not fit its schema. `reason` is the dead letter's reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()
_reads = msgspec.msgpack.Decoder(ReadsMessage)


def encode_json(message: Sighting | Alert | HotlistEntry | HotlistRules | WrongHit | CameraState) -> bytes:
    """A public or state message as JSON."""
    return _json.encode(message)


def decode_json(data: bytes, kind: type[T]) -> T:
    """JSON to `kind`; fields that a later version added are passed over.

    Raises:
        SchemaError: not JSON, or a field is missing or of the wrong type.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise SchemaError("bad_value", f"not a {kind.__name__}: {error}") from error


def decode_hotlist_key(key: bytes | None) -> str:
    """The key of a record of `fleet.hotlist`; `record_type` says of what.

    Raises:
        SchemaError: not text.
    """
    try:
        return (key or b"").decode()
    except UnicodeDecodeError as error:
        raise SchemaError("bad_value", f"hotlist key: {error}") from error


def encode_reads(message: ReadsMessage) -> bytes:
    """A message of `fleet.reads` as msgpack."""
    return _msgpack.encode(message)


def decode_reads(data: bytes) -> ReadsMessage:
    """msgpack to a message of `fleet.reads`.

    Raises:
        SchemaError: not msgpack, or a field is missing or of the wrong type.
    """
    try:
        message: ReadsMessage = _reads.decode(data)
    except msgspec.DecodeError as error:
        raise SchemaError("bad_value", f"not a message of fleet.reads: {error}") from error
    return message


def _to_headers(message: msgspec.Struct, prefix: str) -> list[tuple[str, bytes]]:
    fields = msgspec.to_builtins(message)
    return [
        (prefix + name, value.encode() if isinstance(value, str) else _json.encode(value))
        for name, value in fields.items()
        if value is not None and value != []
    ]


def _from_headers(headers: Iterable[tuple[str, bytes]], kind: type[T], prefix: str) -> T:
    fields = {
        name[len(prefix) :]: msgspec.json.decode(raw) if name == "positions" else raw.decode()
        for name, raw in headers
        if name.startswith(prefix)
    }
    return msgspec.convert(fields, kind, strict=False)


def encode_frame_header(header: FrameHeader) -> list[tuple[str, bytes]]:
    """The record headers of a frame; fields that are not known are left out."""
    return _to_headers(header, "")


def decode_frame_header(headers: Headers) -> FrameHeader:
    """Record headers to FrameHeader.

    Raises:
        SchemaError: `unknown_schema` for another version than this one, `bad_header` for all else.
    """
    version = next((raw for name, raw in headers if name == "schema"), None)
    if version is None:
        raise SchemaError("bad_header", "no header `schema`")
    if version != str(FRAME_SCHEMA).encode():
        raise SchemaError("unknown_schema", f"frame schema {version[:20]!r}, this worker knows {FRAME_SCHEMA}")
    try:
        return _from_headers(headers, FrameHeader, "")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SchemaError("bad_header", f"frame headers: {error}") from error


def encode_dead(letter: DeadLetter, origin: Headers) -> list[tuple[str, bytes]]:
    """The record headers of a dead letter: its own, then the origin's with their prefix."""
    return _to_headers(letter, _DEAD_PREFIX) + [(ORIGIN_PREFIX + name, value) for name, value in origin]


def decode_dead(headers: Headers) -> tuple[DeadLetter, list[tuple[str, bytes]]]:
    """Record headers to the letter and the origin's own headers.

    Raises:
        SchemaError: when a field is missing or of the wrong type.
    """
    try:
        letter = _from_headers(headers, DeadLetter, _DEAD_PREFIX)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SchemaError("bad_header", f"dead letter headers: {error}") from error
    return letter, [(name[len(ORIGIN_PREFIX) :], raw) for name, raw in headers if name.startswith(ORIGIN_PREFIX)]
