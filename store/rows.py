"""Messages -> rows of the raw tables: pure, the same message makes the same row however often it comes.

Every value fits its column afterwards. What a message says that cannot be true has a stated outcome:

- a number that is NaN or infinite, or a position off the globe: position, heading and speed become NULL,
  a probability becomes 0, other numbers 0;
- a time before 2000 or after 2099 is moved to that bound (a table is partitioned by month: hostile times
  must not make thousands of partitions);
- text longer than its bound is cut there, a plate after 32 characters, an identifier after 128;
- an identity that is no UUID raises `BadRow`: the message becomes a dead letter, its neighbours go in.
"""

import operator
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from schemas.alert import Alert
from schemas.camera import CameraState
from schemas.dead import DeadLetter
from schemas.read import FrameReads
from schemas.sighting import Sighting
from store import kinds
from store.columns import Column, Columns, repeated
from store.kinds import EARLIEST, LATEST, MAX_ID, MAX_PLATE, BadRow, Kind

__all__ = ["EARLIEST", "LATEST", "BadRow"]

Row = dict[str, object]

SIGHTINGS = "sightings_raw"
CROPS = "crops_raw"
READS = "reads_raw"
ALERTS = "alerts_raw"
CAMERA_STATES = "camera_states"
DEAD_LETTERS = "dead_letters_raw"
HOTLIST = "hotlist_raw"

MAX_TEXT = 2_000
MAX_CROP_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 4_096


class Origin(NamedTuple):
    """Where on its topic a message lies."""

    partition: int = -1
    offset: int = -1


NOWHERE = Origin()


class _Field(NamedTuple):
    """A column: what it takes of a message, and how that is made to fit."""

    column: str
    get: Callable[[Any], Any]
    kind: Kind


def _same_name(kind: Kind, *columns: str, of: str = "") -> list[_Field]:
    """Columns that are named as the fields of the message."""
    return [_Field(column, operator.attrgetter(of + column), kind) for column in columns]


def _field(column: str, source: str, kind: Kind) -> _Field:
    return _Field(column, operator.attrgetter(*source.split()), kind)


_POSITION = [_field("lat", "lat lon", kinds.LATITUDE), _field("lon", "lat lon", kinds.LONGITUDE)]
_ORIGIN = [*_same_name(kinds.signed(32), "partition"), *_same_name(kinds.signed(64), "offset")]
_SIGHTING = [
    *_same_name(kinds.PLATE, "plate", "region"),
    *_same_name(kinds.MOMENT, "opened_at", "first_seen", "last_seen", "emitted_at"),
    *_same_name(kinds.uuid("sighting_id"), "sighting_id"),
    *_same_name(kinds.whole(32), "revision", "votes", "frames"),
    *_same_name(kinds.AS_IT_IS, "status", "direction"),
    _Field("is_deleted", lambda message: message.status == "withdrawn", kinds.FLAG),
    *_same_name(kinds.NAME, "camera_id", "model_version"),
    *_same_name(kinds.PROBABILITY, "confidence", "region_confidence"),
    *_same_name(kinds.CANDIDATES, "candidates"),
    *_same_name(kinds.PLATES, "former_plates"),
    *_POSITION,
    *_same_name(kinds.HEADING, "heading"),
    *_same_name(kinds.SPEED, "speed"),
    *_same_name(kinds.TRAIL, "trail"),
    _field("evidence_seq", "evidence.seq", kinds.whole(64)),
    _field("evidence_captured_at", "evidence.captured_at", kinds.MOMENT),
    _field("evidence_corners", "evidence.corners", kinds.CORNERS),
    _field("evidence_topic", "evidence.topic", kinds.NAME),
    _field("evidence_partition", "evidence.partition", kinds.signed(32)),
    _field("evidence_offset", "evidence.offset", kinds.signed(64)),
    _field("evidence_frame_index", "evidence.frame_index", kinds.whole(16)),
    *_same_name(kinds.NAME, "frame_sha256", "crop_sha256", of="evidence."),
]
_CROP = [
    *_same_name(kinds.uuid("sighting_id"), "sighting_id"),
    *_same_name(kinds.MOMENT, "opened_at"),
    *_same_name(kinds.whole(32), "revision"),
    *_same_name(kinds.PLATE, "plate"),
    *_same_name(kinds.NAME, "camera_id"),
    *_same_name(kinds.NAME, "crop_sha256", of="evidence."),
    *_same_name(kinds.AS_IT_IS, "crop_jpeg", of="evidence."),
]
_FRAME = [
    *_same_name(kinds.NAME, "camera_id", "model_version", "frame_sha256"),
    *_same_name(kinds.MILLISECONDS, "captured_at", "published_at"),
    *_same_name(kinds.whole(64), "seq"),
    *_same_name(kinds.whole(16), "frame_index"),
    *_POSITION,
    *_same_name(kinds.HEADING, "heading"),
    *_same_name(kinds.SPEED, "speed"),
    *_same_name(kinds.NUMBER, "luma"),
    *_same_name(kinds.whole(32), "width", "height"),
    *_same_name(kinds.FLAG, "still"),
    *_same_name(kinds.signed(32), "frame_partition"),
    *_same_name(kinds.signed(64), "frame_offset"),
]
_READ = [
    *_same_name(kinds.PLATE, "plate", "region"),
    *_same_name(kinds.PROBABILITY, "confidence", "detection_confidence", "region_confidence", "legibility"),
    *_same_name(kinds.NUMBER, "sharpness"),
    *_same_name(kinds.CANDIDATES, "candidates"),
    *_same_name(kinds.BOX, "box"),
    *_same_name(kinds.CORNERS, "corners"),
]
_RANK = kinds.whole(16)


def _row(fields: Sequence[_Field], source: object) -> Row:
    return {column: kind.one(get(source)) for column, get, kind in fields}


def _columns(fields: Sequence[_Field], sources: Sequence[object]) -> dict[str, Column]:
    return {column: kind.many(list(map(get, sources))) for column, get, kind in fields}


def sighting_row(message: Sighting, origin: Origin = NOWHERE) -> Row:
    """The row of `sightings_raw` for one revision of a sighting.

    Raises:
        BadRow: `sighting_id` is no UUID.
    """
    return _row(_SIGHTING, message) | {f"origin_{name}": value for name, value in _row(_ORIGIN, origin).items()}


def sighting_columns(messages: Sequence[Sighting], origins: Sequence[Origin]) -> Columns:
    """What `sighting_row` gives for each of `messages`, column by column.

    Raises:
        BadRow: as `sighting_row` for one of them.
    """
    origin = {f"origin_{name}": column for name, column in _columns(_ORIGIN, origins).items()}
    return Columns(_columns(_SIGHTING, messages) | origin)


def require_identity(message: Sighting) -> None:
    """Return when the sighting has one that can be a row's.

    Raises:
        BadRow: `sighting_id` is no UUID.
    """
    kinds.uuid_text("sighting_id", message.sighting_id)


def has_crop(message: Sighting) -> bool:
    """Whether the revision makes a row of `crops_raw`: it carries a crop, not too large, and is not withdrawn."""
    return 0 < len(message.evidence.crop_jpeg) <= MAX_CROP_BYTES and message.status != "withdrawn"


def crop_row(message: Sighting) -> Row | None:
    """The row of `crops_raw`; None without `has_crop`.

    Raises:
        BadRow: `sighting_id` is no UUID.
    """
    return _row(_CROP, message) if has_crop(message) else None


def crop_columns(messages: Sequence[Sighting]) -> Columns:
    """What `crop_row` gives for each of `messages`, which all have a crop.

    Raises:
        BadRow: as `crop_row` for one of them.
    """
    return Columns(_columns(_CROP, messages))


def read_rows(message: FrameReads) -> list[Row]:
    """The rows of `reads_raw` for one frame: one per plate, none for a frame without plates.

    A frame without a plate is counted by its camera's state; as rows, empty frames would be nine tenths
    of the table and answer nothing.
    """
    frame = _row(_FRAME, message)
    return [{**frame, "rank": _RANK.one(rank), **_row(_READ, read)} for rank, read in enumerate(message.reads)]


def read_columns(messages: Sequence[FrameReads]) -> Columns:
    """What `read_rows` gives for all `messages`, column by column."""
    frames = [message for message in messages if message.reads]
    reads = [read for message in frames for read in message.reads]
    counts = [len(message.reads) for message in frames]
    common = _columns(_FRAME, frames)
    if len(reads) > len(frames):
        common = {name: repeated(column, counts) for name, column in common.items()}
    ranks = [rank for count in counts for rank in range(count)]
    return Columns(common | {"rank": _RANK.many(ranks)} | _columns(_READ, reads))


def alert_row(message: Alert, origin: Origin = NOWHERE) -> Row:
    """The row of `alerts_raw` for an alert that was raised or withdrawn.

    Raises:
        BadRow: `alert_id` or `sighting_id` is no UUID.
    """
    revision = kinds.whole(32).one(message.revision)
    return {
        "hotlist_id": kinds.cut(message.hotlist_id, MAX_ID),
        "entry": kinds.cut(message.entry, MAX_PLATE),
        "alert_id": kinds.uuid_text("alert_id", message.alert_id),
        "version": 2 * revision + int(message.status == "withdrawn"),
        "status": message.status,
        "plate": kinds.cut(message.plate, MAX_PLATE),
        "match": message.match,
        "match_probability": kinds.PROBABILITY.one(message.match_probability),
        "camera_id": kinds.cut(message.camera_id, MAX_ID),
        "seen_at": kinds.MOMENT.one(message.seen_at),
        "confidence": kinds.PROBABILITY.one(message.confidence),
        **_row(_POSITION, message),
        "heading": kinds.HEADING.one(message.heading),
        "speed": kinds.SPEED.one(message.speed),
        "sighting_id": kinds.uuid_text("sighting_id", message.sighting_id),
        "revision": revision,
        "priority": message.priority,
        "reason": kinds.cut(message.reason, MAX_TEXT),
        "owner": kinds.cut(message.owner, MAX_ID),
        "region": kinds.cut(message.region, MAX_PLATE),
        "look_back": int(message.look_back),
        "emitted_at": kinds.MOMENT.one(message.emitted_at),
        "origin_partition": kinds.signed(32).one(origin.partition),
        "origin_offset": kinds.signed(64).one(origin.offset),
    }


def hotlist_row(key: str, message: msgspec.Struct | None, origin: Origin) -> Row:
    """The row of `hotlist_raw` for one record of fleet.hotlist; None: it was taken off.

    `key` is the record's own and says what it is (see `schemas/hotlist.py`); `origin.offset` orders its versions.
    """
    parts = key.split("/")
    hotlist_id, entry, plate = (*parts, "", "")[:3]
    kind = "wrong hit" if plate else "entry" if entry else "rules"

    def said(*names: str) -> Any:
        found = (getattr(message, name, None) for name in names)
        return next((value for value in found if value is not None), None)

    def moment(*names: str) -> datetime | None:
        value = said(*names)
        return None if value is None else kinds.MOMENT.one(value)

    return {
        "hotlist_id": kinds.cut(hotlist_id, MAX_ID),
        "entry": kinds.cut(entry, MAX_PLATE),
        "plate": kinds.cut(plate, MAX_PLATE),
        "version": kinds.whole(64).one(origin.offset + 1),
        "is_deleted": int(message is None),
        "kind": kind,
        "priority": said("priority") or "",
        "reason": kinds.cut(said("reason") or "", MAX_TEXT),
        "owner": kinds.cut(said("owner") or "", MAX_ID),
        "region": kinds.cut(said("region") or "", MAX_PLATE),
        "valid_from": moment("valid_from"),
        "valid_until": moment("valid_until"),
        "changed_at": moment("added_at", "updated_at", "at") or EARLIEST,
        "changed_by": kinds.cut(said("added_by", "updated_by", "by") or "", MAX_ID),
        "message": msgspec.json.encode(message).decode() if message is not None else "",
    }


def camera_row(message: CameraState) -> Row:
    """The row of `camera_states`; `cameras` shows the newest of each camera."""
    return {
        "camera_id": kinds.cut(message.camera_id, MAX_ID),
        "emitted_at": kinds.MOMENT.one(message.emitted_at),
        "status": message.status,
        "last_seq": kinds.whole(64).one(message.last_seq),
        "last_seen": kinds.MOMENT.one(message.last_seen),
        "frames": kinds.whole(64).one(message.frames),
        "missing": kinds.whole(64).one(message.missing),
        "reads": kinds.whole(64).one(message.reads),
        "clock_skew_ms": kinds.signed(64).one(message.clock_skew_ms),
        "luma": kinds.NUMBER.one(message.luma),
        **_row(_POSITION, message),
        "heading": kinds.HEADING.one(message.heading),
        "speed": kinds.SPEED.one(message.speed),
        "width": kinds.whole(32).one(message.width),
        "height": kinds.whole(32).one(message.height),
        "model_version": kinds.cut(message.model_version, MAX_ID),
    }


def dead_row(message: DeadLetter, key: bytes | None = None, payload: bytes | None = None) -> Row:
    """The row of `dead_letters_raw`, with the first 4,096 bytes of the offending value.

    Raises:
        BadRow: `dead_id` is no UUID.
    """
    value = payload or b""
    return {
        "at": kinds.MOMENT.one(message.at),
        "dead_id": kinds.uuid_text("dead_id", message.dead_id),
        "stage": message.stage,
        "reason": message.reason,
        "detail": kinds.cut(message.detail, MAX_TEXT),
        "origin_topic": kinds.cut(message.origin_topic, MAX_ID),
        "origin_partition": kinds.signed(32).one(message.origin_partition),
        "origin_offset": kinds.signed(64).one(message.origin_offset),
        "trace_id": kinds.cut(message.trace_id, 2 * MAX_ID),
        "message_key": (key or b"")[:MAX_ID].decode(errors="replace"),
        "payload_bytes": len(value),
        "payload": value[:MAX_PAYLOAD_BYTES],
    }
