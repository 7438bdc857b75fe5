"""Messages -> rows of the raw tables: pure, the same message makes the same row however often it comes.

Every value fits its column afterwards. What a message says that cannot be true has a stated outcome:

- a number that is NaN or infinite, or a position off the globe: position, heading and speed become NULL,
  a probability becomes 0, other numbers 0;
- a time before 2000 or after 2099 is moved to that bound (a table is partitioned by month: hostile times
  must not make thousands of partitions);
- text longer than its bound is cut there, a plate after 32 characters, an identifier after 128;
- an identity that is no UUID raises `BadRow`: the message becomes a dead letter, its neighbours go in.
"""

import contextlib
import functools
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from schemas.alert import Alert
from schemas.camera import CameraState
from schemas.dead import DeadLetter
from schemas.read import Candidate, FrameReads, PlateRead, Point
from schemas.sighting import Sighting, TrailPoint

Row = dict[str, object]

SIGHTINGS = "sightings_raw"
CROPS = "crops_raw"
READS = "reads_raw"
ALERTS = "alerts_raw"
CAMERA_STATES = "camera_states"
DEAD_LETTERS = "dead_letters_raw"
HOTLIST = "hotlist_raw"

MAX_PLATE = 32
MAX_ID = 128
MAX_TEXT = 2_000
MAX_CANDIDATES = 20
MAX_TRAIL = 2_000
MAX_CROP_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 4_096
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
_EARLIEST_MS = int(EARLIEST.timestamp() * 1000)
_LATEST_MS = int(LATEST.timestamp() * 1000)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_HUGE = 3e38
"""The largest that a Float32 holds, nearly."""


class BadRow(ValueError):
    """The message can never be a row; the text says which field and why."""


class Origin(NamedTuple):
    """Where on its topic a message lies."""

    partition: int = -1
    offset: int = -1


NOWHERE = Origin()


def sighting_row(message: Sighting, origin: Origin = NOWHERE) -> Row:
    """The row of `sightings_raw` for one revision of a sighting.

    Raises:
        BadRow: `sighting_id` is no UUID.
    """
    evidence = message.evidence
    lat, lon = _position(message.lat, message.lon)
    return {
        "plate": _cut(message.plate, MAX_PLATE),
        "opened_at": _moment(message.opened_at),
        "sighting_id": _uuid("sighting_id", message.sighting_id),
        "revision": _whole(message.revision, 32),
        "is_deleted": int(message.status == "withdrawn"),
        "status": message.status,
        "camera_id": _name(message.camera_id),
        "confidence": _probability(message.confidence),
        "region": _cut(message.region, MAX_PLATE),
        "region_confidence": _probability(message.region_confidence),
        "candidates": _candidates(message.candidates),
        "former_plates": [_cut(plate, MAX_PLATE) for plate in message.former_plates[:MAX_CANDIDATES]],
        "votes": _whole(message.votes, 32),
        "frames": _whole(message.frames, 32),
        "first_seen": _moment(message.first_seen),
        "last_seen": _moment(message.last_seen),
        "lat": lat,
        "lon": lon,
        "heading": _heading(message.heading),
        "speed": _speed(message.speed),
        "direction": message.direction,
        "trail": _trail(message.trail),
        "evidence_seq": _whole(evidence.seq, 64),
        "evidence_captured_at": _moment(evidence.captured_at),
        "evidence_corners": _points(evidence.corners),
        "evidence_topic": _name(evidence.topic),
        "evidence_partition": _signed(evidence.partition, 32),
        "evidence_offset": _signed(evidence.offset, 64),
        "evidence_frame_index": _whole(evidence.frame_index, 16),
        "frame_sha256": _cut(evidence.frame_sha256, MAX_ID),
        "crop_sha256": _cut(evidence.crop_sha256, MAX_ID),
        "model_version": _name(message.model_version),
        "emitted_at": _moment(message.emitted_at),
        "origin_partition": _signed(origin.partition, 32),
        "origin_offset": _signed(origin.offset, 64),
    }


def crop_row(message: Sighting) -> Row | None:
    """The row of `crops_raw`; None when the revision carries no crop, or one too large, or is withdrawn.

    Raises:
        BadRow: `sighting_id` is no UUID.
    """
    crop = message.evidence.crop_jpeg
    if not crop or len(crop) > MAX_CROP_BYTES or message.status == "withdrawn":
        return None
    return {
        "sighting_id": _uuid("sighting_id", message.sighting_id),
        "opened_at": _moment(message.opened_at),
        "revision": _whole(message.revision, 32),
        "plate": _cut(message.plate, MAX_PLATE),
        "camera_id": _name(message.camera_id),
        "crop_sha256": _cut(message.evidence.crop_sha256, MAX_ID),
        "crop_jpeg": crop,
    }


def read_rows(message: FrameReads) -> list[Row]:
    """The rows of `reads_raw` for one frame: one per plate, none for a frame without plates.

    A frame without a plate is counted by its camera's state; as rows, empty frames would be nine tenths
    of the table and answer nothing.
    """
    lat, lon = _position(message.lat, message.lon)
    frame: Row = {
        "camera_id": _name(message.camera_id),
        "captured_at": _milliseconds(message.captured_at),
        "seq": _whole(message.seq, 64),
        "frame_index": _whole(message.frame_index, 16),
        "lat": lat,
        "lon": lon,
        "heading": _heading(message.heading),
        "speed": _speed(message.speed),
        "luma": _number(message.luma),
        "width": _whole(message.width, 32),
        "height": _whole(message.height, 32),
        "still": int(message.still),
        "model_version": _name(message.model_version),
        "frame_partition": _signed(message.frame_partition, 32),
        "frame_offset": _signed(message.frame_offset, 64),
        "frame_sha256": _cut(message.frame_sha256, MAX_ID),
        "published_at": _milliseconds(message.published_at),
    }
    return [{**frame, **_read_columns(read, rank)} for rank, read in enumerate(message.reads)]


def _read_columns(read: PlateRead, rank: int) -> Row:
    return {
        "rank": _whole(rank, 16),
        "plate": _cut(read.plate, MAX_PLATE),
        "confidence": _probability(read.confidence),
        "detection_confidence": _probability(read.detection_confidence),
        "region": _cut(read.region, MAX_PLATE),
        "region_confidence": _probability(read.region_confidence),
        "legibility": _probability(read.legibility),
        "sharpness": _number(read.sharpness),
        "candidates": _candidates(read.candidates),
        "box": tuple(_number(value) for value in read.box),
        "corners": _points(read.corners),
    }


def alert_row(message: Alert, origin: Origin = NOWHERE) -> Row:
    """The row of `alerts_raw` for an alert that was raised or withdrawn.

    Raises:
        BadRow: `alert_id` or `sighting_id` is no UUID.
    """
    lat, lon = _position(message.lat, message.lon)
    revision = _whole(message.revision, 32)
    return {
        "hotlist_id": _cut(message.hotlist_id, MAX_ID),
        "entry": _cut(message.entry, MAX_PLATE),
        "alert_id": _uuid("alert_id", message.alert_id),
        "version": 2 * revision + int(message.status == "withdrawn"),
        "status": message.status,
        "plate": _cut(message.plate, MAX_PLATE),
        "match": message.match,
        "match_probability": _probability(message.match_probability),
        "camera_id": _cut(message.camera_id, MAX_ID),
        "seen_at": _moment(message.seen_at),
        "confidence": _probability(message.confidence),
        "lat": lat,
        "lon": lon,
        "heading": _heading(message.heading),
        "speed": _speed(message.speed),
        "sighting_id": _uuid("sighting_id", message.sighting_id),
        "revision": revision,
        "priority": message.priority,
        "reason": _cut(message.reason, MAX_TEXT),
        "owner": _cut(message.owner, MAX_ID),
        "region": _cut(message.region, MAX_PLATE),
        "look_back": int(message.look_back),
        "emitted_at": _moment(message.emitted_at),
        "origin_partition": _signed(origin.partition, 32),
        "origin_offset": _signed(origin.offset, 64),
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
        return None if value is None else _moment(value)

    return {
        "hotlist_id": _cut(hotlist_id, MAX_ID),
        "entry": _cut(entry, MAX_PLATE),
        "plate": _cut(plate, MAX_PLATE),
        "version": _whole(origin.offset + 1, 64),
        "is_deleted": int(message is None),
        "kind": kind,
        "priority": said("priority") or "",
        "reason": _cut(said("reason") or "", MAX_TEXT),
        "owner": _cut(said("owner") or "", MAX_ID),
        "region": _cut(said("region") or "", MAX_PLATE),
        "valid_from": moment("valid_from"),
        "valid_until": moment("valid_until"),
        "changed_at": moment("added_at", "updated_at", "at") or EARLIEST,
        "changed_by": _cut(said("added_by", "updated_by", "by") or "", MAX_ID),
        "message": msgspec.json.encode(message).decode() if message is not None else "",
    }


def camera_row(message: CameraState) -> Row:
    """The row of `camera_states`; `cameras` shows the newest of each camera."""
    lat, lon = _position(message.lat, message.lon)
    return {
        "camera_id": _cut(message.camera_id, MAX_ID),
        "emitted_at": _moment(message.emitted_at),
        "status": message.status,
        "last_seq": _whole(message.last_seq, 64),
        "last_seen": _moment(message.last_seen),
        "frames": _whole(message.frames, 64),
        "missing": _whole(message.missing, 64),
        "reads": _whole(message.reads, 64),
        "clock_skew_ms": _signed(message.clock_skew_ms, 64),
        "luma": _number(message.luma),
        "lat": lat,
        "lon": lon,
        "heading": _heading(message.heading),
        "speed": _speed(message.speed),
        "width": _whole(message.width, 32),
        "height": _whole(message.height, 32),
        "model_version": _cut(message.model_version, MAX_ID),
    }


def dead_row(message: DeadLetter, key: bytes | None = None, payload: bytes | None = None) -> Row:
    """The row of `dead_letters_raw`, with the first 4,096 bytes of the offending value.

    Raises:
        BadRow: `dead_id` is no UUID.
    """
    value = payload or b""
    return {
        "at": _moment(message.at),
        "dead_id": _uuid("dead_id", message.dead_id),
        "stage": message.stage,
        "reason": message.reason,
        "detail": _cut(message.detail, MAX_TEXT),
        "origin_topic": _cut(message.origin_topic, MAX_ID),
        "origin_partition": _signed(message.origin_partition, 32),
        "origin_offset": _signed(message.origin_offset, 64),
        "trace_id": _cut(message.trace_id, 2 * MAX_ID),
        "message_key": (key or b"")[:MAX_ID].decode(errors="replace"),
        "payload_bytes": len(value),
        "payload": value[:MAX_PAYLOAD_BYTES],
    }


def _uuid(field: str, text: str) -> str:
    if _UUID.match(text):
        return text
    try:
        return str(UUID(text))
    except (ValueError, AttributeError, TypeError):
        raise BadRow(f"{field}: {str(text)[:60]!r} is no UUID") from None


def _cut(text: str, most: int) -> str:
    """At most `most` characters, without the zero bytes and half surrogates that no UTF-8 can carry."""
    if len(text) <= most and text.isascii() and "\0" not in text:
        return text
    return text[:most].encode("utf-8", "ignore").decode().replace("\0", "")


@functools.lru_cache(4096)
def _name(text: str) -> str:
    """An identifier that comes again and again, such as a camera's."""
    return _cut(text, MAX_ID)


def _moment(moment: datetime) -> datetime:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if EARLIEST <= aware <= LATEST:
        return aware
    return EARLIEST if aware < EARLIEST else LATEST


def _milliseconds(epoch_ms: int) -> int:
    """Milliseconds are the ticks of the column."""
    return min(max(epoch_ms, _EARLIEST_MS), _LATEST_MS)


def _whole(value: int, bits: int) -> int:
    return value if 0 <= value < 1 << bits else min(max(value, 0), (1 << bits) - 1)


def _signed(value: int, bits: int) -> int:
    edge = 1 << (bits - 1)
    return value if -edge <= value < edge else min(max(value, -edge), edge - 1)


def _number(value: float) -> float:
    """NaN fails the comparison, here and below."""
    if -_HUGE <= value <= _HUGE:
        return value
    return min(max(value, -_HUGE), _HUGE) if math.isfinite(value) else 0.0


def _probability(value: float) -> float:
    if 0.0 <= value <= 1.0:
        return value
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def _position(lat: float | None, lon: float | None) -> tuple[float | None, float | None]:
    """Both or neither."""
    if lat is None or lon is None or not (-90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0):
        return None, None
    return lat, lon


def _trail(points: Sequence[TrailPoint]) -> list[tuple[datetime, float, float]]:
    points = points[:MAX_TRAIL]
    with contextlib.suppress(TypeError):  # a time without a zone
        good = [
            (point.at, point.lat, point.lon)
            for point in points
            if -90.0 <= point.lat <= 90.0 and -180.0 <= point.lon <= 180.0 and EARLIEST <= point.at <= LATEST
        ]
        if len(good) == len(points):
            return good
    return [
        (_moment(point.at), point.lat, point.lon) for point in points if _position(point.lat, point.lon)[0] is not None
    ]


def _heading(degrees: float | None) -> float | None:
    return degrees % 360.0 if degrees is not None and math.isfinite(degrees) else None


def _speed(metres_per_second: float | None) -> float | None:
    """Faster than 200 m/s no camera drives."""
    if metres_per_second is None or not 0.0 <= metres_per_second <= 200.0:
        return None
    return metres_per_second


def _points(points: Sequence[Point]) -> list[tuple[float, float]]:
    return [(_number(x), _number(y)) for x, y in points]


def _candidates(candidates: Sequence[Candidate]) -> list[tuple[str, float]]:
    return [(_cut(one.plate, MAX_PLATE), _probability(one.confidence)) for one in candidates[:MAX_CANDIDATES]]
